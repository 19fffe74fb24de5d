import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.memory_tracker import MemoryRun, MemoryTracker

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.tracking import RunSpec, RunStatus
from visionthink.tracking.missed import MissedLog, missed_logs

REWARD = metrics.REWARD_MEAN.key()


SPEC = RunSpec(run_id="run-1", stage="train", tags={"seed": "3"}, below="all")


def fresh_run() -> MemoryRun:
    return MemoryTracker().start_run(SPEC)


def steps(log: MissedLog) -> list[int]:
    """The steps of the metrics that are sent."""
    run = fresh_run()
    log.send(run, has_ended=False)
    return list(run.history.get(REWARD, {}))


@pytest.fixture
def log(tmp_path: Path) -> MissedLog:
    return MissedLog(tmp_path / "deep", SPEC)


def test_missed_log_repeats_every_kind_of_call(log: MissedLog, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    log.params({"seed": "3"})
    log.metrics({REWARD: 1.0}, 7)
    log.metrics({REWARD: 2.0}, None)
    log.artifact(tmp_path / "a.txt", "texts")
    log.end(RunStatus.KILLED)
    assert log
    run = fresh_run()
    assert log.send(run, has_ended=True) == 5
    assert run.params == {"seed": "3"}
    assert run.history == {REWARD: {7: 1.0}} and run.finals == {REWARD: 2.0}
    assert run.artifacts == {"texts/a.txt": tmp_path / "a.txt"}
    assert run.status is RunStatus.KILLED
    assert not log and log.send(run, has_ended=True) == 0


def test_missed_log_passes_over_what_nobody_can_send(log: MissedLog, tmp_path: Path) -> None:
    log.artifact(tmp_path / "gone.txt", "")
    log.metrics({REWARD: 1.0}, 1)
    with log.path.open("a") as file:
        file.write('{"call": "unheard of"}\n[]\n{"call": "metrics", "step": 2, "val')
    run = fresh_run()
    assert log.send(run, has_ended=False) == 1
    assert run.history == {REWARD: {1: 1.0}}


def test_missed_log_stays_when_the_tracker_fails_again(log: MissedLog) -> None:
    log.metrics({REWARD: 1.0}, 1)
    run = fresh_run()
    run.owner.failure = TrackingError("down", retryable=True)
    with pytest.raises(TrackingError):
        log.send(run, has_ended=False)
    assert log
    run.owner.failure = TrackingError("refused", retryable=False)
    assert log.send(run, has_ended=False) == 0
    assert not log


@pytest.mark.parametrize("cut", ["", "{", '{"call": "metrics", "step": 2, "val', '{"call": "ü'.encode()[:-1]])
def test_missed_log_loses_one_line_to_a_kill_and_no_more(log: MissedLog, cut: str | bytes) -> None:
    log.metrics({REWARD: 1.0}, 1)
    with log.path.open("ab") as file:
        file.write(cut if isinstance(cut, bytes) else cut.encode())
    log.metrics({REWARD: 3.0}, 3)
    log.metrics({REWARD: 4.0}, 4)
    assert steps(log) == [1, 3, 4]


def test_missed_log_whose_first_line_was_cut_keeps_the_rest(log: MissedLog) -> None:
    log.path.parent.mkdir()
    log.path.write_text('{"call": "sta')
    log.metrics({REWARD: 1.0}, 1)
    assert steps(log) == [1]


@pytest.mark.parametrize(
    ("has_ended", "tail", "want"),
    [
        pytest.param(True, [RunStatus.FAILED, RunStatus.FINISHED], RunStatus.FINISHED, id="the last of two tries"),
        pytest.param(True, [RunStatus.FAILED], RunStatus.FAILED, id="the only try"),
        pytest.param(True, [RunStatus.FAILED, None], None, id="a try that is not over"),
        pytest.param(False, [RunStatus.FAILED], None, id="a run that goes on"),
    ],
)
def test_missed_log_ends_a_run_as_its_last_try_did(
    log: MissedLog, has_ended: bool, tail: list[RunStatus | None], want: RunStatus | None
) -> None:
    for status in tail:
        if status is None:
            log.metrics({REWARD: 1.0}, 1)
        else:
            log.end(status)
    run = fresh_run()
    log.send(run, has_ended=has_ended)
    assert run.status is want


def test_missed_logs_are_found_by_the_run_that_they_are_of(tmp_path: Path) -> None:
    ours = RunSpec(run_id="run-1", stage="serve", tags={"a": "b"}, closes_pipeline=True)
    for spec in (ours, RunSpec(run_id="run-1.2", stage="serve"), RunSpec(run_id="run-2", stage="serve")):
        MissedLog(tmp_path, spec).end(RunStatus.FINISHED)
    (tmp_path / "run-1.train.jsonl").write_text("{}\n")
    assert [log.spec for log in missed_logs(tmp_path, "run-1")] == [ours]
    assert missed_logs(tmp_path / "absent", "run-1") == []


def test_missed_artifact_is_found_after_its_run_was_moved(tmp_path: Path) -> None:
    (tmp_path / "old" / "label").mkdir(parents=True)
    (tmp_path / "old" / "label" / "a.txt").write_text("a")
    MissedLog(tmp_path / "old" / "missed", SPEC).artifact(tmp_path / "old" / "label" / "a.txt", "")
    (tmp_path / "old").rename(tmp_path / "new")
    run = fresh_run()
    MissedLog(tmp_path / "new" / "missed", SPEC).send(run, has_ended=False)
    assert run.artifacts == {"a.txt": tmp_path / "new" / "label" / "a.txt"}


# The number of a step that diverged must survive too.
@given(st.lists(st.tuples(st.floats(), st.integers(0, 10**9)), max_size=5))
def test_missed_log_keeps_every_number_as_it_was(records: list[tuple[float, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        log = MissedLog(Path(home), SPEC)
        want: dict[int, float] = {}
        for value, step in records:
            log.metrics({REWARD: value}, step)
            want.setdefault(step, value)
        run = fresh_run()
        log.send(run, has_ended=False)
    got = run.history.get(REWARD, {})
    assert json.dumps(got) == json.dumps(want)
