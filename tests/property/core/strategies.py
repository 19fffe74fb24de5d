"""Values of the core, drawn at random: what several property tests share."""

from hypothesis import strategies as st

from visionthink.core import Size, ViewRule

MAX_ASPECT = 200


@st.composite
def sizes(draw: st.DrawFn, max_side: int = 6000) -> Size:
    """Sizes that the aspect limit allows, slivers included."""
    short = draw(st.integers(1, max_side))
    long = draw(st.integers(short, min(max_side, short * MAX_ASPECT)))
    width, height = (short, long) if draw(st.booleans()) else (long, short)
    return Size(width=width, height=height)


@st.composite
def view_rules(draw: st.DrawFn) -> ViewRule:
    """Rules from one token to the released cap, with any shrink and two kinds of tokens."""
    multiple = draw(st.sampled_from([28, 32]))
    max_pixels = draw(st.integers(multiple**2, 2048**2))
    return ViewRule(
        multiple=multiple,
        max_pixels=max_pixels,
        min_pixels=draw(st.integers(1, max_pixels)),
        shrink=draw(st.integers(1, 4)),
    )
