import json
import time
from pathlib import Path

import pytest
from tests.fakes.stage_task import ticking

from visionthink.runs import Stopwatch
from visionthink.runs.stopwatch import read_seconds


def test_stopwatch_adds_up_over_tries(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    for _ in range(3):
        with Stopwatch(path, clock=ticking(2.0), interval_s=60.0):
            pass
    # Each block reads the clock twice, 2 s apart: when it starts and when it keeps the sum.
    assert read_seconds(path) == pytest.approx(3 * 2.0)


def test_stopwatch_keeps_the_time_of_a_try_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    with pytest.raises(ZeroDivisionError), Stopwatch(path, clock=ticking(), interval_s=60.0):
        raise ZeroDivisionError
    assert read_seconds(path) == pytest.approx(1.0)


def test_stopwatch_writes_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    with Stopwatch(path, interval_s=0.01):
        end_s = time.monotonic() + 10
        while not path.exists() and time.monotonic() < end_s:
            time.sleep(0.01)
        assert json.loads(path.read_text())["wall_s"] > 0


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"wall_s": "long"}'])
def test_read_seconds_of_a_damaged_file_is_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seconds.json"
    path.write_text(text)
    assert read_seconds(path) == 0.0
