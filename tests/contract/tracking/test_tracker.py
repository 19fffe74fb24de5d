"""What every tracker promises, each against the real thing behind it."""

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.memory_tracker import MemoryTracker

from visionthink import metrics
from visionthink.errors import DataError, TrackingError, UserError
from visionthink.tracking import (
    PIPELINE_STAGE,
    MlflowConnection,
    MlflowSettings,
    MlflowTracker,
    NullTracker,
    ResilientTracker,
    RunSpec,
    RunStatus,
    Tracker,
    keep_json,
    keep_text,
    tracked,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REWARD = metrics.REWARD_MEAN.key()
KL = metrics.POLICY_KL.key()
SPEC = RunSpec(run_id="run-1", stage="train")

Request = pytest.FixtureRequest


def connect(kind: str, request: Request, tmp_path: Path) -> MlflowConnection:
    """A connection to an experiment of this test alone."""
    experiment = f"test-{uuid.uuid4().hex[:8]}"
    if kind == "server":
        uri = request.getfixturevalue("server_uri")
        return MlflowConnection(MlflowSettings(tracking_uri=uri, experiment=experiment))
    database = shutil.copy(request.getfixturevalue("empty_database"), tmp_path)
    return MlflowConnection(
        MlflowSettings(
            tracking_uri=f"sqlite:///{database}", experiment=experiment, artifact_root=tmp_path / "mlartifacts"
        )
    )


@pytest.fixture(params=["sqlite", "server"])
def connection(request: Request, tmp_path: Path) -> MlflowConnection:
    return connect(request.param, request, tmp_path)


@pytest.fixture(params=["none", "memory", "sqlite", "server", "resilient over sqlite", "resilient over nothing"])
def tracker(request: Request, tmp_path: Path) -> Tracker:
    match request.param:
        case "none":
            return NullTracker()
        case "memory":
            return MemoryTracker()
        case "sqlite" | "server":
            return MlflowTracker(connect(request.param, request, tmp_path))
        case "resilient over sqlite":
            inner = connect("sqlite", request, tmp_path)
        case _:
            uri = request.getfixturevalue("refused_uri")
            inner = MlflowConnection(
                MlflowSettings(tracking_uri=uri, experiment="x", request_timeout_s=1, max_retries=0)
            )
    return ResilientTracker(MlflowTracker(inner), missed_dir=tmp_path / "missed", say=lambda line: None)


@pytest.fixture(params=["sqlite", "server", "resilient over sqlite"])
def remembering(request: Request, tmp_path: Path) -> tuple[Tracker, MlflowConnection]:
    """A tracker that reaches its MLflow, and a connection of its own to look at what MLflow holds."""
    made = connect(request.param.split()[-1], request, tmp_path)
    inner = MlflowTracker(made)
    if request.param.startswith("resilient"):
        return ResilientTracker(inner, missed_dir=tmp_path / "missed", say=pytest.fail), made
    return inner, made


def runs_of(connection: MlflowConnection, stage: str) -> "list[Run]":
    def search(client: "MlflowClient") -> "list[Run]":
        experiment = client.get_experiment_by_name(connection.settings.experiment)
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id], f"tags.`visionthink.stage` = '{stage}'"))

    return connection.call("search", search)


def only_run(connection: MlflowConnection, stage: str = "train") -> "Run":
    (run,) = runs_of(connection, stage)
    return run


def history(connection: MlflowConnection, key: str) -> list[tuple[int, float]]:
    run_id = only_run(connection).info.run_id
    found = connection.call("read", lambda client: client.get_metric_history(run_id, key))
    return [(metric.step, metric.value) for metric in found]


def artifacts(connection: MlflowConnection, folder: str, tmp_path: Path) -> dict[str, bytes]:
    """Path below `folder` -> content, as a download gives it."""
    run_id = only_run(connection).info.run_id
    target = tmp_path / "download"
    target.mkdir(exist_ok=True)
    root = Path(connection.call("get", lambda client: client.download_artifacts(run_id, folder, str(target))))
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- every tracker ---


def test_tracker_takes_a_whole_run(tracker: Tracker, tmp_path: Path) -> None:
    run = tracker.start_run(SPEC)
    run.log_params({"train.lr": "0.1"})
    run.log_metrics({REWARD: 1.0, KL: 0.0}, step=1)
    run.log_metrics({metrics.STAGE_S.key(stage="train"): 2.0})
    keep_text(run, tmp_path / "report.html", "<p>")
    run.end(RunStatus.FINISHED)
    run.end(RunStatus.FAILED)


def test_tracker_refuses_a_metric_that_nobody_named(tracker: Tracker) -> None:
    run = tracker.start_run(SPEC)
    with pytest.raises(UserError, match="made/up"):
        run.log_metrics({REWARD: 1.0, "made/up": 2.0}, step=1)
    with pytest.raises(UserError, match="made/up"):
        run.last_step("made/up")


def test_tracker_refuses_an_artifact_that_is_not_there(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        tracker.start_run(SPEC).log_artifact(tmp_path / "gone.png")


def test_tracker_knows_no_step_of_a_fresh_run(tracker: Tracker) -> None:
    assert tracker.start_run(SPEC).last_step(REWARD) is None


# --- every tracker that reaches MLflow ---

Remembering = tuple[Tracker, MlflowConnection]


def test_tracker_hangs_stages_under_one_parent(remembering: Remembering) -> None:
    tracker, connection = remembering
    for stage in ("label", "train"):
        tracker.start_run(RunSpec(run_id="run-1", stage=stage, tags={"seed": "3"})).end(RunStatus.FINISHED)
    parent = only_run(connection, PIPELINE_STAGE)
    assert parent.data.tags["visionthink.run_id"] == "run-1"
    assert parent.info.run_name == "run-1"
    for stage in ("label", "train"):
        child = only_run(connection, stage)
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["seed"] == "3"
        assert child.info.run_name == stage


def test_tracker_keeps_pipeline_runs_apart(remembering: Remembering) -> None:
    tracker, connection = remembering
    for run_id in ("run-1", "run-2"):
        tracker.start_run(RunSpec(run_id=run_id, stage="train"))
    assert len(runs_of(connection, "train")) == 2
    assert len(runs_of(connection, PIPELINE_STAGE)) == 2


def test_tracker_gives_the_parent_itself_as_a_run(remembering: Remembering) -> None:
    tracker, connection = remembering
    run = tracker.start_run(RunSpec(run_id="run-1", stage=PIPELINE_STAGE))
    run.log_params({"seed": "3"})
    tracker.start_run(SPEC)
    parent = only_run(connection, PIPELINE_STAGE)
    assert parent.data.params == {"seed": "3"}
    assert only_run(connection).data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_tracker_adopts_the_run_of_a_killed_stage(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).log_metrics({REWARD: 1.0}, step=1)
    second = tracker.start_run(SPEC)
    assert second.last_step(REWARD) == 1
    assert second.last_step(KL) is None
    second.end(RunStatus.FINISHED)
    assert only_run(connection).info.status == "FINISHED"


def test_tracker_adopts_a_run_that_had_ended(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).end(RunStatus.KILLED)
    assert only_run(connection).info.status == "KILLED"
    tracker.start_run(SPEC)
    assert only_run(connection).info.status == "RUNNING"
    assert only_run(connection, PIPELINE_STAGE).info.status == "RUNNING"


def test_tracker_hangs_a_part_of_a_stage_below_its_run(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).log_metrics({REWARD: 1.0}, step=2)
    part = tracker.start_run(RunSpec(run_id="run-1", stage="train.again", below="train"))
    part.log_metrics({REWARD: 0.5}, step=2)
    part.end(RunStatus.FAILED)
    above, below = only_run(connection), only_run(connection, "train.again")
    assert below.data.tags["mlflow.parentRunId"] == above.info.run_id
    assert (above.data.metrics[REWARD], below.data.metrics[REWARD]) == (1.0, 0.5)
    assert (above.info.status, below.info.status) == ("RUNNING", "FAILED")
    assert only_run(connection, PIPELINE_STAGE).info.status == "RUNNING"


def test_tracker_ends_the_part_before_that_was_killed(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC)
    for part in ("first", "second", "second"):
        tracker.start_run(RunSpec(run_id="run-1", stage=part, below="train"))
    assert [only_run(connection, part).info.status for part in ("first", "second")] == ["KILLED", "RUNNING"]


def test_tracker_makes_the_run_that_a_part_hangs_below(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(RunSpec(run_id="run-1", stage="part", below="train"))
    assert only_run(connection, "part").data.tags["mlflow.parentRunId"] == only_run(connection).info.run_id
    assert len(runs_of(connection, PIPELINE_STAGE)) == 1


def test_tracker_logs_no_step_twice(remembering: Remembering) -> None:
    tracker, connection = remembering
    first = tracker.start_run(SPEC)
    for step in range(4):
        first.log_metrics({REWARD: float(step), KL: 0.5}, step=step)
    # Killed here; the training goes on from its checkpoint of step 1.
    second = tracker.start_run(SPEC)
    for step in range(2, 6):
        second.log_metrics({REWARD: float(step), KL: 0.5}, step=step)
    assert history(connection, REWARD) == [(step, float(step)) for step in range(6)]
    assert len(history(connection, KL)) == 6


def test_tracker_logs_final_numbers_once_and_corrects_them(remembering: Remembering) -> None:
    tracker, connection = remembering
    key = metrics.EVAL_ACCURACY.key(row="trained")
    tracker.start_run(SPEC).log_metrics({key: 0.5})
    tracker.start_run(SPEC).log_metrics({key: 0.5})
    assert history(connection, key) == [(0, 0.5)]
    tracker.start_run(SPEC).log_metrics({key: 0.75})
    assert only_run(connection).data.metrics[key] == 0.75


def test_tracker_takes_numbers_that_are_no_numbers(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).log_metrics({REWARD: float("nan"), KL: float("inf")}, step=1)
    (_, value), *_ = history(connection, REWARD)
    assert value != value


def test_tracker_keeps_the_first_value_of_a_parameter(
    remembering: Remembering, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).log_params({"train.lr": "0.1", "seed": "3"})
    tracker.start_run(SPEC).log_params({"train.lr": "0.2", "seed": "3", "new": "x"})
    assert only_run(connection).data.params == {"train.lr": "0.1", "seed": "3", "new": "x"}
    assert "train.lr" in caplog.text and "seed" not in caplog.text


def test_tracker_takes_more_than_one_request_holds(remembering: Remembering) -> None:
    tracker, connection = remembering
    run = tracker.start_run(SPEC)
    run.log_params({f"p{number}": "x" * 7000 for number in range(230)})
    family = metrics.EVAL_FAMILY_ACCURACY
    run.log_metrics({family.key(row="base", family=f"f{number}"): 0.5 for number in range(1100)})
    held = only_run(connection).data
    assert len(held.params) == 230 and len(held.params["p0"]) == 6000
    assert len(held.metrics) == 1100


def test_tracker_keeps_artifacts(remembering: Remembering, tmp_path: Path) -> None:
    tracker, connection = remembering
    model = tmp_path / "checkpoint"
    (model / "deep").mkdir(parents=True)
    (model / "deep" / "weights.bin").write_bytes(b"\0" * 1000)
    run = tracker.start_run(SPEC)
    for _ in range(2):
        run.log_artifact(model, folder="models")
        keep_json(run, tmp_path / "config.json", {"a": 1})
        keep_text(run, tmp_path / "report.html", "<p>", folder="report")
    got = artifacts(connection, "", tmp_path)
    assert got["models/checkpoint/deep/weights.bin"] == b"\0" * 1000
    assert got["config.json"] == b'{\n  "a": 1\n}\n'
    assert got["report/report.html"] == b"<p>"


def test_tracker_ends_the_pipeline_with_its_last_stage(remembering: Remembering) -> None:
    tracker, connection = remembering
    tracker.start_run(SPEC).end(RunStatus.FINISHED)
    assert only_run(connection, PIPELINE_STAGE).info.status == "RUNNING"
    tracker.start_run(RunSpec(run_id="run-1", stage="serve", closes_pipeline=True)).end(RunStatus.FINISHED)
    assert only_run(connection, PIPELINE_STAGE).info.status == "FINISHED"


def test_tracker_leaves_a_pipeline_ended_when_a_stage_is_run_again(remembering: Remembering) -> None:
    tracker, connection = remembering
    for stage in ("register", "serve"):
        tracker.start_run(RunSpec(run_id="run-1", stage=stage, closes_pipeline=stage == "serve")).end(
            RunStatus.FINISHED
        )
    tracker.start_run(RunSpec(run_id="run-1", stage="register")).end(RunStatus.FINISHED)
    assert only_run(connection, "register").info.status == "FINISHED"
    assert only_run(connection, PIPELINE_STAGE).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "want"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_tracked_run_ends_as_its_body_did(remembering: Remembering, error: type[BaseException], want: str) -> None:
    tracker, connection = remembering
    with pytest.raises(error), tracked(tracker, SPEC):
        raise error
    assert only_run(connection).info.status == want
    assert only_run(connection, PIPELINE_STAGE).info.status == want
    with tracked(tracker, SPEC):
        pass
    assert only_run(connection).info.status == "FINISHED"


# --- MLflow alone ---


def test_mlflow_tracker_hangs_runs_under_a_parent_of_somebody_else(connection: MlflowConnection) -> None:
    first = MlflowTracker(connection).start_run(RunSpec(run_id="kfp", stage="step"))
    given = MlflowSettings(
        tracking_uri=connection.settings.tracking_uri,
        experiment=connection.settings.experiment,
        parent_run_id=first.mlflow_run_id,
    )
    run = MlflowTracker(MlflowConnection(given)).start_run(RunSpec(run_id="run-1", stage="train", closes_pipeline=True))
    run.end(RunStatus.FINISHED)
    assert only_run(connection).data.tags["mlflow.parentRunId"] == first.mlflow_run_id
    assert only_run(connection, "step").info.status == "RUNNING"


@pytest.mark.parametrize(
    "experiment",
    ["two words", 'it\'s "quoted"', "a/b", "../up", "/absolute", ".", "prüfung", "100%41", "a?b#c", "x" * 300],
)
def test_mlflow_tracker_keeps_artifacts_of_any_experiment_below_its_folder(
    empty_database: Path, tmp_path: Path, experiment: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    database = shutil.copy(empty_database, home)
    root = home / "mlartifacts"
    made = MlflowConnection(
        MlflowSettings(tracking_uri=f"sqlite:///{database}", experiment=experiment, artifact_root=root)
    )
    keep_text(MlflowTracker(made).start_run(SPEC), tmp_path / "a.txt", "a")
    (kept,) = root.rglob("a.txt")
    assert len(kept.relative_to(root).parts) == 4, "experiment, run, artifacts, file"
    assert artifacts(made, "", tmp_path) == {"a.txt": b"a"}


def test_mlflow_tracker_says_that_the_experiment_was_deleted(connection: MlflowConnection) -> None:
    tracker = MlflowTracker(connection)
    tracker.start_run(SPEC)

    def delete(client: "MlflowClient") -> None:
        experiment = client.get_experiment_by_name(connection.settings.experiment)
        assert experiment is not None
        client.delete_experiment(experiment.experiment_id)

    connection.call("delete", delete)
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI='.+' mlflow experiments restore -x \d+\)"):
        tracker.start_run(SPEC)


@pytest.mark.parametrize("uri", ["", "sqlite:////proc/no/such.db"], ids=["server down", "database unwritable"])
def test_mlflow_tracker_reports_what_it_cannot_reach_at_once(refused_uri: str, uri: str) -> None:
    uri = uri or refused_uri
    connection = MlflowConnection(MlflowSettings(tracking_uri=uri, experiment="x", max_retries=0))
    with pytest.raises(TrackingError, match=r"cannot start run 'train' at ") as caught:
        MlflowTracker(connection).start_run(SPEC)
    assert uri in str(caught.value)
    assert caught.value.__cause__ is not None
