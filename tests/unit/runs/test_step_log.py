import errno
from pathlib import Path

import pytest

from visionthink.errors import StorageError
from visionthink.runs.step_log import StepLog, StepRecord, read_steps


def record(step: int) -> StepRecord:
    return StepRecord(step=step, metrics={"reward/mean": step / 10})


def written(path: Path, last: int) -> StepLog:
    log = StepLog(path, last_step=0)
    for step in range(1, last + 1):
        log.append(record(step))
    return log


def test_step_log_reads_back_what_was_appended(tmp_path: Path) -> None:
    written(tmp_path / "steps.jsonl", 3)
    assert read_steps(tmp_path / "steps.jsonl") == (record(1), record(2), record(3))


def test_step_log_cuts_off_what_lies_behind_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    written(path, 5)
    log = StepLog(path, last_step=3)
    log.append(record(4))
    assert [found.step for found in read_steps(path)] == [1, 2, 3, 4]


def test_step_log_passes_over_a_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    written(path, 2)
    path.write_text(path.read_text() + '{"step": 3, "met')
    assert [found.step for found in read_steps(path)] == [1, 2]
    StepLog(path, last_step=2).append(record(3))
    assert [found.step for found in read_steps(path)] == [1, 2, 3]


def test_read_steps_of_no_file_is_nothing(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "steps.jsonl") == ()


def test_step_log_says_when_it_cannot_write(tmp_path: Path) -> None:
    log = written(tmp_path / "deep" / "steps.jsonl", 1)
    (tmp_path / "deep" / "steps.jsonl").unlink()
    (tmp_path / "deep" / "steps.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"could not write .*steps\.jsonl") as caught:
        log.append(record(2))
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.EISDIR
