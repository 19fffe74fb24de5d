"""Values of the core, drawn at random: what several property tests share."""

from hypothesis import strategies as st

from visionthink.core import Box, Size, ViewRule, render_call

MAX_ASPECT = 200

TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>"]
JSON_PIECES = ["{", "}", "[", "]", ":", ",", '"', "\\", '"name"', '"arguments"', '"resize"', "NaN", "1e999", "```json"]
CALL = render_call("resize_image", {"action": "resize"})

texts = st.text() | st.lists(st.sampled_from([*TAGS, *JSON_PIECES, CALL]) | st.text(max_size=4), max_size=20).map(
    "".join
)
prose = st.text(alphabet=st.characters(exclude_characters="<{"), max_size=20)

LOOPS = {
    "tags in turn": "<think>" + "</think>" * 4000 + "<answer>" * 4000,
    "monologues": "<think></think>" * 20_000,
    "open monologues": "<think>" * 40_000,
    "calls": "<think></think>" + "<tool_call>" * 20_000 + "</tool_call> ",
    "answers": "<answer></answer>" * 20_000,
    "braces": "<tool_call>" + "{" * 4000 + "</tool_call>",
    "nesting": "<tool_call>" + '{"a":' * 800 + "</tool_call>",
}
"""Replies of a model that repeats itself."""


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


@st.composite
def boxes(draw: st.DrawFn, size: Size) -> Box:
    """Boxes inside ``size``, of one pixel or all of it or anything between."""
    left, top = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    right, bottom = draw(st.integers(left + 1, size.width)), draw(st.integers(top + 1, size.height))
    return Box(left=left, top=top, right=right, bottom=bottom)
