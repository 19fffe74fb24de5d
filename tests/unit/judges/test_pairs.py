"""What the rule judge says of the table of pairs: never right of what is wrong, and seldom wrong of what is right."""

import time
from collections import Counter

import pytest
from tests.unit.judges.hostile import hostile_items
from tests.unit.judges.table import pairs

from visionthink.judges import GradeItem
from visionthink.judges.rule import tell
from visionthink.judges.told import Told

MAX_FALSE_WRONG = 0.03
MAX_NOT_TOLD = 0.03
MAX_MS = 40.0
"""Several times what the slowest takes on a quiet machine; what grows with the square of a text takes seconds. How fast
the judge is, benchmarks/judging.py tells."""
KINDS = sorted({pair.kind for pair in pairs()})


def test_the_table_is_large_and_has_every_row_once() -> None:
    assert len(pairs()) >= 300
    assert [item for item, count in Counter(pair.item for pair in pairs()).items() if count > 1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_not_right_is_called_right(kind: str) -> None:
    rows = [pair for pair in pairs() if pair.kind == kind and pair.want is not Told.RIGHT]
    assert [pair.item for pair in rows if tell(pair.item) is Told.RIGHT] == []


def test_what_is_right_is_seldom_missed() -> None:
    told = Counter(tell(pair.item) for pair in pairs() if pair.want is Told.RIGHT)
    assert told[Told.WRONG] <= MAX_FALSE_WRONG * told.total()
    assert told[Told.UNTOLD] <= MAX_NOT_TOLD * told.total()


def test_what_is_wrong_is_nearly_always_told() -> None:
    told = Counter(tell(pair.item) for pair in pairs() if pair.want is Told.WRONG)
    assert told[Told.UNTOLD] <= MAX_NOT_TOLD * told.total()


def cpu_ms(item: GradeItem) -> float:
    """The processor's time for one item: the least of five, for what else the machine does is not the judge's."""
    times = []
    for _ in range(5):
        begin = time.thread_time()
        tell(item)
        times.append(1000 * (time.thread_time() - begin))
        if times[-1] < MAX_MS / 2:
            break
    return min(times)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_texts_are_told_in_time(seed: int) -> None:
    slow = [item for item in hostile_items(150, seed) if cpu_ms(item) > MAX_MS]
    assert [(item.answer[:40], (item.prediction or "")[:40]) for item in slow] == []
