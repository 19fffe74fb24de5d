"""What may be passed on while a reply is written."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.serving.flow import Flow

CALL = '<think>too small</think><tool_call>{"name": "resize_image"}</tool_call>'
ANSWER = "<think>I see.</think><answer>A7</answer>"
TAGS = (
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "<tool_call>",
    "</tool_call>",
    "<",
    "a",
    " b",
    ">",
    "<tool",
    "_",
)


def passed(text: str, *, may_look: bool, width: int = 1) -> str:
    flow = Flow(may_look=may_look)
    got = "".join(flow.feed(text[i : i + width]) for i in range(0, len(text), width))
    assert flow.num_passed == len(got)
    return got


@pytest.mark.parametrize(
    ("text", "may_look", "want"),
    [
        pytest.param(ANSWER, True, ANSWER, id="an answer, once it has opened"),
        pytest.param(CALL, True, "", id="a wish to look closer, never"),
        pytest.param("just some words", True, "", id="words that may still become a wish"),
        pytest.param("<think>maybe <answer>A", True, "", id="an answer that is only thought of"),
        pytest.param("<answer>A</answer><tool_call>{}", True, "<answer>A</answer>", id="an answer before a call"),
        pytest.param(ANSWER, False, ANSWER, id="fixed view: from the first word"),
        pytest.param("just some words", False, "just some words", id="fixed view: words"),
        pytest.param(CALL, False, "<think>too small</think>", id="fixed view: up to a call"),
        pytest.param("a < b <tool", False, "a < b ", id="fixed view: what may become a call waits"),
        pytest.param("a <tools> b", False, "a <tools> b", id="fixed view: what did not become one goes on"),
    ],
)
@pytest.mark.parametrize("width", [1, 3, 1000])
def test_what_flows(text: str, may_look: bool, want: str, width: int) -> None:
    assert passed(text, may_look=may_look, width=width) == want


def test_an_answer_flows_before_its_end() -> None:
    flow = Flow(may_look=True)
    assert flow.feed("<think>x</think><ans") == ""
    assert flow.feed("wer>A") == "<think>x</think><answer>A"
    assert flow.feed("7") == "7"


@given(pieces=st.lists(st.sampled_from(TAGS), max_size=30), may_look=st.booleans())
def test_what_flows_is_a_beginning_without_a_call(pieces: Sequence[str], may_look: bool) -> None:
    flow = Flow(may_look=may_look)
    text = "".join(pieces)
    got = "".join(map(flow.feed, pieces))
    assert text.startswith(got) and "<tool_call>" not in got and len(got) == flow.num_passed


@given(pieces=st.lists(st.sampled_from(TAGS), max_size=20), may_look=st.booleans())
def test_pieces_do_not_matter(pieces: Sequence[str], may_look: bool) -> None:
    text = "".join(pieces)
    assert passed(text, may_look=may_look) == passed(text, may_look=may_look, width=len(text) or 1)
