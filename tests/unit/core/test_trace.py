"""Where an episode looked, told from the views that it was shown."""

import pytest

from visionthink.core import Box, Size, Trace, View

FIRST = View(size=Size(width=56, height=56))
WHOLE = View(size=Size(width=112, height=112))
TOP_LEFT = View(size=Size(width=56, height=56), box=Box(left=0, top=0, right=56, bottom=56))
EVIDENCE = Box(left=3, top=3, right=40, bottom=20)
ELSEWHERE = Box(left=50, top=3, right=90, bottom=20)


@pytest.mark.parametrize(
    ("asked", "region", "want_whole", "want_right"),
    [
        ((), EVIDENCE, False, None),
        ((WHOLE,), EVIDENCE, True, None),
        ((TOP_LEFT,), EVIDENCE, False, True),
        ((TOP_LEFT,), ELSEWHERE, False, False),
        ((TOP_LEFT,), None, False, None),
        ((TOP_LEFT, WHOLE), ELSEWHERE, True, False),
    ],
    ids=["nothing", "the whole", "the right region", "half of it", "nobody knows", "then the whole"],
)
def test_trace_tells_where_it_looked(
    asked: tuple[View, ...], region: Box | None, want_whole: bool, want_right: bool | None
) -> None:
    trace = Trace(turns=(), views=(FIRST, *asked), messages=())
    assert (trace.asked_whole, trace.asked_right(region)) == (want_whole, want_right)
