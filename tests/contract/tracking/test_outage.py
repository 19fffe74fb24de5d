"""A tracker whose server goes away: the stage goes on, is told once, and nothing is lost."""

import json
import os
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.tracking import (
    PIPELINE_STAGE,
    MlflowConnection,
    MlflowRegistry,
    MlflowSettings,
    MlflowTracker,
    ResilientRegistry,
    ResilientTracker,
    RunSpec,
    RunStatus,
    TrackerRequiredError,
    keep_text,
    open_tracking,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from tests.contract.tracking.conftest import Cable

REWARD = metrics.REWARD_MEAN.key()
SPEC = RunSpec(run_id="run-1", stage="train")


class Scene:
    """A resilient tracker at the end of a cable, with a clock that the test turns."""

    def __init__(self, cable: "Cable", tmp_path: Path, *, required: bool = False, request_timeout_s: int = 30) -> None:
        self.cable = cable
        self.said: list[str] = []
        self.now_s = 0.0
        self.missed = tmp_path / "missed" / "run-1.train.jsonl"
        settings = MlflowSettings(
            tracking_uri=cable.uri,
            experiment=f"test-{uuid.uuid4().hex[:8]}",
            request_timeout_s=request_timeout_s,
            max_retries=0,
        )
        self.connection = MlflowConnection(settings)
        self.tracker = ResilientTracker(
            MlflowTracker(self.connection),
            missed_dir=self.missed.parent,
            say=self.said.append,
            required=required,
            clock=lambda: self.now_s,
        )

    def status(self, stage: str) -> str:
        """What MLflow says of a stage, or of the pipeline."""

        def read(client: "MlflowClient") -> str:
            experiment = client.get_experiment_by_name(self.connection.settings.experiment)
            assert experiment is not None
            (run,) = client.search_runs([experiment.experiment_id], f"tags.`visionthink.stage` = '{stage}'")
            return str(run.info.status)

        return self.connection.call("read", read)

    def history(self) -> list[tuple[int, float]]:
        def read(client: "MlflowClient") -> list[tuple[int, float]]:
            experiment = client.get_experiment_by_name(self.connection.settings.experiment)
            assert experiment is not None
            (run,) = client.search_runs([experiment.experiment_id], "tags.`visionthink.stage` = 'train'")
            return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, REWARD)]

        return self.connection.call("read", read)


@pytest.fixture
def scene(cable: "Cable", tmp_path: Path) -> Scene:
    return Scene(cable, tmp_path)


def test_outage_at_the_start_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    scene.cable.cut()
    run = scene.tracker.start_run(SPEC)
    run.log_params({"train.lr": "0.1"})
    run.log_metrics({REWARD: 0.0}, step=0)
    keep_text(run, tmp_path / "report.html", "<p>")
    assert run.last_step(REWARD) is None
    (line,) = scene.said
    assert line == (
        f"tracking: cannot start run 'train' at {scene.cable.uri}: nothing answers there (is the server running?); "
        f"going on without it, what it misses is kept in {scene.missed}"
    )
    assert [json.loads(text)["call"] for text in scene.missed.read_text().splitlines()] == [
        "start",
        "params",
        "metrics",
        "artifact",
    ]
    scene.cable.plug()
    scene.now_s = 31
    run.log_metrics({REWARD: 1.0}, step=1)
    assert scene.history() == [(0, 0.0), (1, 1.0)]
    assert not scene.missed.exists()
    assert "3 missed records" in scene.said[1] and len(scene.said) == 2


@pytest.mark.parametrize(
    ("mode", "reason"), [("cut", r"nothing answers there|broke off"), ("hang", r"no answer within 3 s")]
)
def test_outage_in_the_middle_loses_nothing(cable: "Cable", tmp_path: Path, mode: str, reason: str) -> None:
    # Only here a time limit is waited out. Elsewhere a short one would make a busy machine look like an outage.
    scene = Scene(cable, tmp_path, request_timeout_s=3)
    run = scene.tracker.start_run(SPEC)
    run.log_metrics({REWARD: 0.0}, step=0)
    if mode == "cut":
        scene.cable.cut()
    else:
        scene.cable.mode = "hang"
    began_s = time.monotonic()
    for step in range(1, 6):
        run.log_metrics({REWARD: float(step)}, step=step)
    # One time limit of three seconds, and none for the four steps after it.
    assert time.monotonic() - began_s < 6
    (line,) = scene.said
    assert re.search(reason, line)
    scene.cable.cut()
    scene.cable.plug()
    run.end(RunStatus.FINISHED)
    assert scene.history() == [(step, float(step)) for step in range(6)]
    assert not scene.missed.exists()


def test_outage_that_outlives_the_process_is_made_up_for_by_the_next(scene: Scene) -> None:
    scene.cable.cut()
    first = scene.tracker.start_run(SPEC)
    for step in range(3):
        first.log_metrics({REWARD: float(step)}, step=step)
    first.end(RunStatus.KILLED)
    assert scene.missed.exists()
    scene.cable.plug()
    second = scene.tracker.start_run(SPEC)
    for step in range(1, 5):
        second.log_metrics({REWARD: float(step)}, step=step)
    assert scene.history() == [(step, float(step)) for step in range(5)]


LAST = RunSpec(run_id="run-1", stage="serve", closes_pipeline=True)


def test_outage_in_which_a_try_failed_does_not_outlast_a_try_that_ends_well(scene: Scene) -> None:
    scene.cable.cut()
    scene.tracker.start_run(LAST).end(RunStatus.FAILED)
    scene.cable.plug()
    scene.tracker.start_run(LAST).end(RunStatus.FINISHED)
    assert (scene.status("serve"), scene.status(PIPELINE_STAGE)) == ("FINISHED", "FINISHED")


def test_outage_of_all_tries_leaves_what_the_last_one_came_to(scene: Scene) -> None:
    scene.cable.cut()
    for status in (RunStatus.KILLED, RunStatus.FAILED, RunStatus.FINISHED):
        run = scene.tracker.start_run(LAST)
        run.end(status)
    scene.cable.plug()
    scene.tracker.catch_up("run-1")
    assert (scene.status("serve"), scene.status(PIPELINE_STAGE)) == ("FINISHED", "FINISHED")
    assert list(scene.missed.parent.iterdir()) == []


def test_outage_at_the_end_of_a_stage_is_made_up_for_by_the_next_stage(scene: Scene) -> None:
    first = scene.tracker.start_run(SPEC)
    scene.cable.cut()
    first.log_metrics({REWARD: 1.0}, step=1)
    first.end(RunStatus.FINISHED)
    scene.cable.plug()
    scene.tracker.start_run(RunSpec(run_id="run-1", stage="evaluate"))
    assert (scene.status("train"), scene.status(PIPELINE_STAGE)) == ("FINISHED", "RUNNING")
    assert scene.history() == [(1, 1.0)] and not scene.missed.exists()


def test_outage_that_goes_on_is_told_by_who_wants_to_make_up_for_it(scene: Scene) -> None:
    scene.tracker.catch_up("run-1")
    assert scene.said == []
    scene.cable.cut()
    scene.tracker.start_run(SPEC).end(RunStatus.FINISHED)
    scene.tracker.catch_up("run-1")
    assert len(scene.said) == 2 and "is still kept in" in scene.said[1] and scene.missed.exists()


def test_outage_of_a_required_tracker_stops_the_start(cable: "Cable", tmp_path: Path) -> None:
    scene = Scene(cable, tmp_path, required=True)
    cable.cut()
    with pytest.raises(TrackerRequiredError, match=r"tracking\.required") as caught:
        scene.tracker.start_run(SPEC)
    assert caught.value.exit_code == 2
    assert not scene.missed.exists()


def test_outage_of_a_required_tracker_stops_the_run(cable: "Cable", tmp_path: Path) -> None:
    run = Scene(cable, tmp_path, required=True).tracker.start_run(SPEC)
    cable.cut()
    with pytest.raises(TrackerRequiredError, match="cannot log metrics"):
        run.log_metrics({REWARD: 0.0}, step=0)


def test_outage_with_the_default_limits_is_noticed_in_seconds(
    refused_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = open_tracking("mlflow", env={"MLFLOW_TRACKING_URI": refused_uri}, runs_dir=tmp_path)
    began_s = time.monotonic()
    run = tracking.tracker.start_run(SPEC)
    run.log_metrics({REWARD: 0.0}, step=0)
    assert time.monotonic() - began_s < 15
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("tracking:")] == told and len(told) == 1
    assert (tmp_path / "missed" / "run-1.train.jsonl").exists()


def test_outage_leaves_the_environment_as_it_was(scene: Scene) -> None:
    before = dict(os.environ)
    run = scene.tracker.start_run(SPEC)
    scene.cable.cut()
    run.log_metrics({REWARD: 0.0}, step=0)
    assert dict(os.environ) == before
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in before


def test_registry_outage_gives_a_model_without_a_version(refused_uri: str, tmp_path: Path) -> None:
    settings = MlflowSettings(tracking_uri=refused_uri, experiment="x", request_timeout_s=1, max_retries=0)
    said: list[str] = []
    registry = ResilientRegistry(MlflowRegistry(MlflowConnection(settings)), say=said.append)
    model = registry.register("m", tmp_path, SPEC)
    registry.set_alias(model, "champion")
    assert (model.version, model.source) == (None, str(tmp_path))
    with pytest.raises(TrackingError):
        registry.find("m", "champion")
    assert registry.fetch(model, tmp_path / "copy") == tmp_path
    assert all(line.startswith("registry: cannot") for line in said) and len(said) == 1
    required = ResilientRegistry(MlflowRegistry(MlflowConnection(settings)), say=said.append, required=True)
    with pytest.raises(TrackerRequiredError):
        required.register("m", tmp_path, SPEC)
    with pytest.raises(TrackingError):
        required.find("m", "champion")
