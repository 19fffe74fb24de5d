import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.memory_tracker import MemoryRun, MemoryTracker

from visionthink import metrics
from visionthink.errors import TrackingError
from visionthink.tracking import RunSpec, RunStatus
from visionthink.tracking.missed import MissedLog

REWARD = metrics.REWARD_MEAN.key()


def fresh_run() -> MemoryRun:
    return MemoryTracker().start_run(RunSpec(run_id="run-1", stage="train"))


@pytest.fixture
def log(tmp_path: Path) -> MissedLog:
    return MissedLog(tmp_path / "deep" / "missed.jsonl")


def test_missed_log_repeats_every_kind_of_call(log: MissedLog, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    log.params({"seed": "3"})
    log.metrics({REWARD: 1.0}, 7)
    log.metrics({REWARD: 2.0}, None)
    log.artifact(tmp_path / "a.txt", "texts")
    log.end(RunStatus.KILLED)
    assert log
    run = fresh_run()
    assert log.send(run) == 5
    assert run.params == {"seed": "3"}
    assert run.history == {REWARD: {7: 1.0}} and run.finals == {REWARD: 2.0}
    assert run.artifacts == {"texts/a.txt": tmp_path / "a.txt"}
    assert run.status is RunStatus.KILLED
    assert not log and log.send(run) == 0


def test_missed_log_passes_over_what_nobody_can_send(log: MissedLog, tmp_path: Path) -> None:
    log.artifact(tmp_path / "gone.txt", "")
    log.metrics({REWARD: 1.0}, 1)
    with log.path.open("a") as file:
        file.write('{"call": "unheard of"}\n[]\n{"call": "metrics", "step": 2, "val')
    run = fresh_run()
    assert log.send(run) == 1
    assert run.history == {REWARD: {1: 1.0}}


def test_missed_log_stays_when_the_tracker_fails_again(log: MissedLog) -> None:
    log.metrics({REWARD: 1.0}, 1)
    run = fresh_run()
    run.owner.failure = TrackingError("down", retryable=True)
    with pytest.raises(TrackingError):
        log.send(run)
    assert log
    run.owner.failure = TrackingError("refused", retryable=False)
    assert log.send(run) == 0
    assert not log


# The number of a step that diverged must survive too.
@given(st.lists(st.tuples(st.floats(), st.integers(0, 10**9)), max_size=5))
def test_missed_log_keeps_every_number_as_it_was(records: list[tuple[float, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        log = MissedLog(Path(home) / "m.jsonl")
        want: dict[int, float] = {}
        for value, step in records:
            log.metrics({REWARD: value}, step)
            want.setdefault(step, value)
        run = fresh_run()
        log.send(run)
    got = run.history.get(REWARD, {})
    assert json.dumps(got) == json.dumps(want)
