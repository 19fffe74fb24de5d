"""A training around a stand-in for veRL: a program that takes the interpreter's place, and does what it is told to."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.fakes.memory_tracker import MemoryTracker

from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError
from visionthink.model.bundled import bundled_path
from visionthink.storage import is_complete, open_store
from visionthink.tracking import RunStatus
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.run import TrainingError, train

CONFIG = override_config(RunConfig(), {"train.num_steps": 4, "train.checkpoint_every": 2})

STAND_IN = """#!{python}
import json, os, pathlib, shutil, sys
plan = json.loads(pathlib.Path(sys.argv[3]).read_text())
out = pathlib.Path(plan["output"])
latest = out / "checkpoints" / "latest_checkpointed_iteration.txt"
first = int(latest.read_text()) if latest.exists() else 0
with open(os.environ["VERL_FILE_LOGGER_PATH"], "w") as log:
    for step in range(first + 1, 5):
        told = {{"step": step, "data": {{"timing_s/step": 1.0, "reward/mean": float(step)}}}}
        if step != {silent_at}:
            log.write(json.dumps(told) + "\\n")
        if step % 2 == 0:
            folder = out / "checkpoints" / f"global_step_{{step}}"
            (folder / "actor" / "huggingface").mkdir(parents=True)
            shutil.copy({base!r} + "/model.safetensors", folder / "actor" / "huggingface")
            (folder / "saved").write_text(json.dumps({{"reward/mean": float(step), "timing/unknown": 1.0}}))
            latest.write_text(str(step))
        if step == {fails_at}:
            log.flush()
            {fails}
"""


def stand_in(folder: Path, *, fails_at: int = 0, fails: str = "pass", silent_at: int = 0) -> str:
    path = folder / f"python-{fails_at}"
    text = STAND_IN.format(
        python=sys.executable, base=str(bundled_path()), fails_at=fails_at, fails=fails, silent_at=silent_at
    )
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def plan(tmp_path: Path) -> VerlPlan:
    return VerlPlan(
        train_rows=tmp_path / "rows", base_model=bundled_path(), output=tmp_path / "out", run_id="a-run", device="cpu"
    )


class Steps(dict[int, Mapping[str, float]]):
    """What was told, each step once."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        assert step not in self, f"step {step} was told twice"
        self[step] = metrics


def test_a_training_tells_its_steps_and_leaves_a_model(plan: VerlPlan, tmp_path: Path) -> None:
    steps = Steps()
    model = train(plan, CONFIG, on_step=steps, python=stand_in(tmp_path))
    assert list(steps) == [1, 2, 3, 4] and steps[3] == {"perf/step_s": 1.0, "perf/train_s": 1.0, "reward/mean": 3.0}
    assert is_complete(model) and json.loads((model / "visionthink.json").read_text())["episode"]
    want, got = (load_file(folder / "model.safetensors") for folder in (bundled_path(), model))
    assert want.keys() == got.keys() and all((want[name] == got[name]).all() for name in want)
    assert train(plan, CONFIG, on_step=Steps(), python="no such program") == model


def test_a_training_that_was_killed_goes_on(plan: VerlPlan, tmp_path: Path) -> None:
    steps, told = Steps(), list[str]()
    broken = stand_in(tmp_path, fails_at=3, fails="os.kill(os.getpid(), 9)")
    with pytest.raises(TrainingError, match=r"exit code -9.*goes on from the last checkpoint"):
        train(plan, CONFIG, on_step=steps, python=broken)
    assert list(steps) == [1, 2, 3] and not plan.model.exists()
    again = Steps()
    train(plan, CONFIG, on_step=again, say=told.append, python=stand_in(tmp_path))
    assert list(again) == [3, 4] and "step 2 of 4" in told[0]


@pytest.mark.parametrize("last", [2, 4])
def test_a_step_that_was_saved_and_not_told_is_told_by_the_next_try(last: int, plan: VerlPlan, tmp_path: Path) -> None:
    steps, said = Steps(), list[str]()
    broken = stand_in(tmp_path, fails_at=last, fails="os.kill(os.getpid(), 9)", silent_at=last)
    with pytest.raises(TrainingError):
        train(plan, CONFIG, on_step=steps, python=broken)
    assert last not in steps
    train(plan, CONFIG, on_step=steps, say=said.append, python=stand_in(tmp_path))
    assert sorted(steps) == [1, 2, 3, 4] and steps[last] == {"reward/mean": float(last)}
    assert any(f"step {last} was saved and not told" in line for line in said)


def test_every_try_that_goes_on_has_a_run_of_its_own(plan: VerlPlan, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    for fails_at, learning_rate in ((3, 1e-3), (4, 2e-3)):
        config = override_config(CONFIG, {"train.learning_rate": learning_rate})
        with pytest.raises(TrainingError):
            train(plan, config, tracker=tracker, python=stand_in(tmp_path, fails_at=fails_at, fails="sys.exit(1)"))
    (run,) = tracker.runs.values()
    assert run.spec.stage == "train.behind-step-2" and run.spec.below == "train"
    assert run.status is RunStatus.FAILED and run.params["train.learning_rate"] == "0.002"
    assert set(run.history["reward/mean"]) == {3, 4}


def test_an_empty_disk_goes_on_from_the_store(plan: VerlPlan, tmp_path: Path) -> None:
    from visionthink.training.verl.checkpoint import step_folder, upload

    plan = replace(plan, checkpoint_store=str(tmp_path / "store"))
    with pytest.raises(TrainingError):
        train(plan, CONFIG, python=stand_in(tmp_path, fails_at=2, fails="sys.exit(1)"))
    upload(step_folder(plan.checkpoints, 2), open_store(str(tmp_path / "store")), plan.run_id)
    steps = Steps()
    train(replace(plan, output=tmp_path / "fresh"), CONFIG, on_step=steps, python=stand_in(tmp_path))
    assert list(steps) == [3, 4]


REASON = (
    'pathlib.Path(out, "error.json").write_text(json.dumps({{"error": "E", "message": "{text}", "exit_code": {code}}}))'
)


@pytest.mark.parametrize(("code", "kind"), [(1, TrainingError), (2, ConfigError)])
def test_the_reason_of_the_process_is_told(code: int, kind: type[Exception], plan: VerlPlan, tmp_path: Path) -> None:
    leaves = REASON.format(text="the judge is away", code=code).replace("{{", "{").replace("}}", "}")
    with pytest.raises(kind, match="the judge is away"):
        train(plan, CONFIG, python=stand_in(tmp_path, fails_at=1, fails=f"{leaves}; sys.exit({code})"))


def test_without_a_reason_the_end_of_its_words_is_told(plan: VerlPlan, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no GPU in sight"):
        train(plan, CONFIG, python=stand_in(tmp_path, fails_at=1, fails='sys.exit("no GPU in sight")'))


def test_what_verl_cannot_do_is_refused_before_anything_begins(plan: VerlPlan) -> None:
    with pytest.raises(ConfigError, match="advantage_eps"):
        train(plan, override_config(CONFIG, {"reward.advantage_eps": 0.1}), python="no such program")
    assert not plan.output.exists()
