import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.fakes.memory_tracker import MemoryRun
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.config import override_config
from visionthink.core.first_look import CallForecast
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import DataError
from visionthink.labeling.stage import label_with
from visionthink.model.forecast import read_forecast
from visionthink.runs import StageTask
from visionthink.runs.step_log import read_steps
from visionthink.samples import samples_to_label
from visionthink.storage import verify
from visionthink.training.local.checkpoint import checkpoint_step
from visionthink.training.local.optimization import DivergedError
from visionthink.training.local.stage import train_stage

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Stands for a SIGKILL: nobody catches it."""


@dataclass
class DeadlyRun:
    """A tracked run whose process dies when a step is logged."""

    run: MemoryRun
    last_step: int

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        if step == self.last_step:
            raise Killed
        self.run.log_metrics(values, step=step)

    def __getattr__(self, name: str) -> object:
        return getattr(self.run, name)


def labelled(path: Path, parrot: Path, more: Mapping[str, object] | None = None) -> TaskMaker:
    usual = {"model.base": str(parrot), "train.num_steps": 6, "train.learning_rate": 1e-3}
    maker = task_maker(path, {**usual, **(more or {})})
    label_with(seeing_engine(list(samples_to_label(maker.config))), maker.task("label"))
    maker.folder.begin(maker.config)
    path.joinpath("label", "result.json").write_text(
        json.dumps({"metrics": {}, "artifacts": {}, "confusion": None, "html": None, "facts": {}})
    )
    return maker


def killed_at(step: int, maker: TaskMaker) -> None:
    task: StageTask = maker.task("train")
    with pytest.raises(Killed):
        train_stage(replace(task, run=DeadlyRun(maker.recorded("train"), step)))  # type: ignore[arg-type]


def weights(maker: TaskMaker) -> dict[str, torch.Tensor]:
    return load_file(maker.folder.trained_model / "model.safetensors")


def rewards(maker: TaskMaker) -> list[tuple[int, float]]:
    return [(record.step, record.metrics["reward/mean"]) for record in read_steps(maker.folder.steps_path)]


def test_train_stage_that_was_killed_ends_in_the_same_model(tmp_path: Path, parrot: Path) -> None:
    undisturbed, killed = labelled(tmp_path / "run-1", parrot), labelled(tmp_path / "run-2", parrot)
    want = train_stage(undisturbed.task("train"))
    for step in (2, 3, 6):
        killed_at(step, killed)
    got = train_stage(killed.task("train"))
    assert got.metrics == want.metrics
    assert rewards(killed) == rewards(undisturbed)
    assert [step for step, _ in rewards(killed)] == [1, 2, 3, 4, 5, 6]
    history = killed.recorded("train").history["reward/mean"]
    assert list(history.items()) == rewards(undisturbed)
    first, second = weights(undisturbed), weights(killed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_train_stage_changes_the_model_and_saves_it_whole(tmp_path: Path, parrot: Path) -> None:
    maker = labelled(tmp_path / "run-1", parrot)
    forecast = CallForecast(bias=-1.0, weights={"read": 2.0})
    maker.folder.forecast_path.write_text(json.dumps(forecast.to_dict()))
    result = train_stage(maker.task("train"))
    base, trained = load_file(parrot / "model.safetensors"), weights(maker)
    assert any(not torch.equal(base[name], trained[name]) for name in base)
    verify(result.artifacts["model"])
    card = json.loads((result.artifacts["model"] / "visionthink.json").read_text())
    assert card["episode"]["protocol"] == "compact-efficient-v1"
    assert read_forecast(result.artifacts["model"]) == forecast
    TransformersEngine.load(result.artifacts["model"])


def test_train_stage_records_each_step_and_tells_how_it_goes(tmp_path: Path, parrot: Path) -> None:
    maker = labelled(tmp_path / "run-1", parrot)
    train_stage(maker.task("train"))
    assert list(maker.recorded("train").history["reward/mean"]) == [1, 2, 3, 4, 5, 6]
    assert "train: 6/6 steps" in maker.said[-1] and "where needed" in maker.said[-1]


def test_train_stage_that_is_done_trains_no_more(tmp_path: Path, parrot: Path) -> None:
    maker = labelled(tmp_path / "run-1", parrot)
    want = train_stage(maker.task("train"))
    num_lines = len(maker.said)
    assert train_stage(maker.task("train")) == want
    assert maker.said[num_lines:] == []


def test_train_stage_that_diverges_leaves_no_model_and_what_it_had_reached(tmp_path: Path, parrot: Path) -> None:
    more = {"train.learning_rate": 1e30, "train.warmup_steps": 0, "train.checkpoint_every": 1}
    maker = labelled(tmp_path / "run-1", parrot, more)
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"diverged at step 2 of 6"):
            train_stage(maker.task("train"))
        assert checkpoint_step(tmp_path / "run-1" / "train" / "checkpoints") == 1
        assert [step for step, _ in rewards(maker)] == [1]
    assert not maker.folder.trained_model.exists()


def test_train_stage_goes_on_with_other_operational_settings(tmp_path: Path, parrot: Path) -> None:
    undisturbed, killed = labelled(tmp_path / "run-1", parrot), labelled(tmp_path / "run-2", parrot)
    train_stage(undisturbed.task("train"))
    killed_at(4, killed)
    killed.config = override_config(killed.config, {"train.checkpoint_every": 1, "tracking.required": True})
    train_stage(killed.task("train"))
    first, second = weights(undisturbed), weights(killed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_train_stage_needs_labels(tmp_path: Path, parrot: Path) -> None:
    maker = task_maker(tmp_path / "run-1", {"model.base": str(parrot)})
    with pytest.raises(DataError, match=r"stage label .* `visionthink label` first"):
        train_stage(maker.task("train"))
