"""veRL's real trainer on a CPU, from prompts to a model: our loop, reward, group penalty, checkpoints and numbers.

One story in two acts, because a start takes veRL a minute: a training that meets an outage, and its next try on a node
with an empty disk.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.torch import load_file
from tests.contract.conftest import S3Server
from tests.unit.engines.tiny_model import tiny_processor
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink import metrics as m
from visionthink.config import RunConfig, override_config
from visionthink.core.first_look import CallForecast
from visionthink.core.geometry import Size, quarter_view
from visionthink.core.message import ImagePart, Message, Role, TextPart
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines.encoding import Encoder
from visionthink.model.bundled import bundled_path
from visionthink.model.forecast import read_forecast
from visionthink.samples import decoded
from visionthink.storage import is_complete, open_store
from visionthink.training.verl.checkpoint import saved_steps, step_folder
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows
from visionthink.training.verl.run import TrainingError, train

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CONFIG: Final = override_config(
    RunConfig(),
    {
        "train.num_steps": 4,
        "train.num_prompts": 4,
        "train.group_size": 4,
        "train.checkpoint_every": 2,
        "train.warmup_steps": 0,
        "train.learning_rate": 1e-3,
        "train.micro_batch_size": 16,
    },
)
EVERY_STEP: Final = (
    *(m.REWARD_MEAN, m.REWARD_STD, m.REWARD_ACCURACY, m.REWARD_FORMAT, m.REWARD_PENALTY),
    *(m.RESIZE_RATE, m.RESIZE_RATE_NEEDED, m.RESIZE_RATE_NOT_NEEDED),
    *(m.GROUP_NUM_KEPT, m.GROUP_NUM_ZERO_VARIANCE, m.GROUP_NUM_JUDGE_FAILED, m.GROUP_NUM_ROLLOUTS_FAILED),
    *(m.POLICY_KL, m.POLICY_ENTROPY, m.POLICY_CLIP_RATIO, m.OPTIM_GRAD_NORM, m.OPTIM_LEARNING_RATE),
    *(m.POLICY_TURNS_MEAN, m.POLICY_VISUAL_TOKENS_MEAN, m.POLICY_REPLY_TOKENS_MEAN),
    *(m.PERF_STEP_S, m.PERF_ROLLOUT_S, m.PERF_TRAIN_S),
)


FORECAST: Final = CallForecast(bias=-1.0, weights={"read": 2.0})


@dataclass(frozen=True)
class Story:
    """What the two tries left."""

    outage: TrainingError
    first: Mapping[int, Mapping[str, float]]
    second: Mapping[int, Mapping[str, float]]
    status: str
    """Of the run in the tracker after the outage."""
    run: Run
    """After the second try."""
    plan: VerlPlan
    """Of the second try."""


@pytest.fixture(scope="module")
def story(verl_python: Path, server_uri: str, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("verl")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        yield _told(home, str(verl_python), server_uri, f"s3://{s3_server.bucket}/verl")


def _told(home: Path, python: str, tracker: str, store: str) -> Story:
    # As many samples as the steps ask about, so that no picture of a step is in any memory before it.
    samples = _world(CONFIG.train.num_steps * CONFIG.train.num_prompts)
    pictures = home / "pictures"
    places = store_pictures(samples, open_store(str(pictures)))
    write_rows(home / "rows.parquet", training_order(samples, CONFIG.train, seed=0), places)
    (home / "forecast.json").write_text(json.dumps(FORECAST.to_dict()))
    plan = VerlPlan(
        train_rows=home / "rows.parquet",
        base_model=bundled_path(),
        output=home / "first",
        forecast=home / "forecast.json",
        run_id="verl-on-a-cpu",
        device="cpu",
        tracking_uri=tracker,
        checkpoint_store=store,
        num_checkpoints=1,
    )
    first: dict[int, Mapping[str, float]] = {}
    second: dict[int, Mapping[str, float]] = {}

    def lose_pictures(step: int, metrics: Mapping[str, float]) -> None:
        first[step] = metrics
        if step == 2:
            shutil.rmtree(pictures)

    with pytest.raises(TrainingError) as outage:
        train(plan, CONFIG, on_step=lose_pictures, python=python)
    status = _run(tracker).info.status
    store_pictures(samples, open_store(str(pictures)))
    plan = replace(plan, output=home / "second")
    train(plan, CONFIG, on_step=second.__setitem__, python=python)
    return Story(outage.value, first, second, status, _run(tracker), plan)


def _world(count: int) -> list[Sample]:
    made = list(generate("train", 4 * count, seed=11, families=CONFIG.data.families))
    sides = ([sample for sample in made if sample.needs_high_res is side][: count // 2] for side in (True, False))
    return [sample for side in sides for sample in side]


def _run(tracker: str) -> Run:
    client = MlflowClient(tracker)
    experiment = client.get_experiment_by_name(CONFIG.tracking.experiment)
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], "tags.`visionthink.run_id` = 'verl-on-a-cpu' and tags.`visionthink.stage` = 'train'"
    )
    return run


def test_an_outage_ends_a_training_with_its_reason(story: Story) -> None:
    assert "all 16 rollouts of a step failed" in str(story.outage) and "/pictures/" in str(story.outage)
    assert story.status == "FAILED"


def test_the_next_try_goes_on_from_the_store_in_the_same_run(story: Story, server_uri: str) -> None:
    assert set(story.first) >= {1, 2} and set(story.second) == {3, 4}
    assert story.run.info.status == "FINISHED"
    client = MlflowClient(server_uri)
    history = client.get_metric_history(story.run.info.run_id, m.REWARD_MEAN.key())
    assert [point.step for point in history] == [1, 2, 3, 4]
    (below,) = client.search_runs(
        [story.run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{story.run.info.run_id}'"
    )
    assert below.info.run_name == "train.behind-step-2" and below.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(below.info.run_id, m.REWARD_MEAN.key())] == [3, 4]


def test_every_step_is_told_in_full(story: Story) -> None:
    for step, told in {**story.first, **story.second}.items():
        assert [metric.name for metric in EVERY_STEP if metric.key() not in told] == [], f"missing in step {step}"
        m.check(told)
    graded = [told[m.GROUP_NUM_ROLLOUTS_FAILED.key()] for told in (*story.first.values(), *story.second.values())]
    assert graded[:2] == [0, 0] and graded[-2:] == [0, 0]
    assert story.run.data.metrics.keys() >= {metric.key() for metric in EVERY_STEP}


def test_the_policy_is_that_of_the_rollouts(story: Story) -> None:
    """Ids, masks and pixels line up between rollouts and trainer, or the first step's ratios would be clipped."""
    assert story.first[1][m.POLICY_CLIP_RATIO.key()] == 0
    assert story.first[1][m.POLICY_KL.key()] < 1e-6 < story.second[4][m.POLICY_KL.key()]


def test_the_model_is_the_checkpoints_to_the_bit(story: Story) -> None:
    assert is_complete(story.plan.model) and saved_steps(story.plan.checkpoints) == [4]
    trained = load_file(story.plan.model / "model.safetensors")
    base = load_file(bundled_path() / "model.safetensors")
    assert trained.keys() == base.keys()
    tower = [name for name in base if "visual" in name]
    assert tower and all(torch.equal(trained[name], base[name]) for name in tower)
    assert any(not torch.equal(trained[name], base[name]) for name in base.keys() - set(tower))


def test_the_forecast_of_labelling_is_beside_the_model(story: Story) -> None:
    assert read_forecast(story.plan.model) == FORECAST


def test_it_answers_in_transformers_with_the_checkpoints_logits(story: Story) -> None:
    shard = step_folder(story.plan.checkpoints, 4) / "actor" / "model_world_size_1_rank_0.pt"
    state = torch.load(shard, weights_only=False, map_location="cpu")
    whole = {name: tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor for name, tensor in state.items()}
    models = [
        Qwen2_5_VLForConditionalGeneration.from_pretrained(folder) for folder in (story.plan.model, bundled_path())
    ]
    cast("Any", models[1]).load_state_dict(whole, strict=False)
    sample = _world(4)[0]
    picture = decoded(sample, CONFIG.data)
    view = quarter_view(Size(width=picture.width, height=picture.height), CONFIG.view.rule())
    message = Message(role=Role.USER, parts=(ImagePart(view=view), TextPart(text=sample.question)))
    encoded = Encoder(tiny_processor()).encode([message], picture, add_generation_prompt=True)
    ids = encoded.input_ids.unsqueeze(0)
    inputs = {
        "input_ids": ids,
        "pixel_values": encoded.pixel_values,
        "image_grid_thw": encoded.image_grid_thw,
        "mm_token_type_ids": (ids == Encoder(tiny_processor()).image_id).long(),
    }
    with torch.inference_mode():
        got, want = (cast("Any", model)(**inputs).logits for model in models)
    assert torch.equal(got, want)
