"""What the stage `train` hands to veRL. That veRL carries such a plan out, tests/contract/verl proves."""

import json
from pathlib import Path

import pytest
from tests.fakes.stage_task import task_maker

from visionthink.config import RunConfig, load_config, override_config, preset_names
from visionthink.errors import ConfigError
from visionthink.stage import _function
from visionthink.training.verl.overrides import overrides
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.stage import plan_of, train_stage

VERL_PRESETS = [name for name in preset_names() if load_config(None, preset=name).train.backend == "verl"]


def test_plan_leaves_what_the_local_trainer_leaves(tmp_path: Path) -> None:
    settings = {"train.backend": "verl", "verl.num_nodes": 2, "verl.gpus_per_node": 4, "verl.num_checkpoints": 3}
    task = task_maker(tmp_path / "run", settings).task("train")
    plan = plan_of(task)
    assert (plan.output, plan.model) == (task.folder.stage_dir("train"), task.folder.trained_model)
    assert (plan.num_nodes, plan.gpus_per_node, plan.num_checkpoints, plan.run_id) == (2, 4, 3, "run")
    assert VerlPlan.from_json(plan.to_json()) == plan


def test_backend_chooses_who_trains() -> None:
    config = override_config(RunConfig(), {"train.backend": "verl"})
    assert _function("train", config) is train_stage
    assert _function("train", RunConfig()).__module__ == "visionthink.training.local.stage"


@pytest.mark.parametrize("name", VERL_PRESETS)
def test_settings_of_a_preset_reach_verl_under_its_names(name: str, tmp_path: Path) -> None:
    config = load_config(None, preset=name)
    plan = VerlPlan(
        train_rows=tmp_path, base_model=tmp_path, output=tmp_path, run_id="r", overrides=config.verl.overrides()
    )
    rendered = dict(line.lstrip("+").split("=", 1) for line in overrides(config, plan))
    actor = "actor_rollout_ref.actor"
    assert rendered[f"{actor}.ppo_mini_batch_size"] == str(config.verl.mini_batch_prompts)
    assert rendered["data.max_prompt_length"] == str(config.verl.max_prompt_tokens)
    assert rendered[f"{actor}.loss_agg_mode"].strip("'") == config.train.loss_aggregation
    assert rendered[f"{actor}.optim.lr"] == repr(config.train.learning_rate)


def test_training_that_cannot_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run", {"train.backend": "verl", "verl.gpu_memory_gib": 3})
    task = maker.task("train")
    for name in ("label", "train"):
        (tmp_path / "run" / name).mkdir(exist_ok=True)
    done: dict[str, object] = {"metrics": {}, "artifacts": {}, "confusion": None, "html": None, "facts": {}}
    (tmp_path / "run" / "label" / "result.json").write_text(json.dumps(done))
    with pytest.raises(ConfigError, match="GiB"):
        train_stage(task)
    assert list((tmp_path / "run" / "train").iterdir()) == []
