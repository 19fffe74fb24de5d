"""The parser under any text: it never raises, and it gives back every call that was rendered."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.core.strategies import LOOPS, TAGS, prose, texts

from visionthink.core import (
    AnswerReply,
    CallReply,
    EmptyReply,
    Json,
    UntaggedReply,
    closed_answer,
    parse_reply,
    render_call,
)

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=12) | st.sampled_from(TAGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=8) | st.sampled_from(TAGS), json_values, max_size=4)
names = st.text(min_size=1, max_size=20) | st.sampled_from(TAGS)


@given(texts)
def test_parsing_never_raises(text: str) -> None:
    reply = parse_reply(text)
    assert isinstance(reply, EmptyReply) is (not text.strip())
    if isinstance(reply, AnswerReply):
        assert reply.answer == reply.answer.strip() != ""
    if isinstance(reply, UntaggedReply):
        assert reply.text == text.strip()


@given(texts)
def test_a_closed_answer_never_raises_and_is_part_of_the_text(text: str) -> None:
    answer = closed_answer(text)
    assert answer is None or answer in text or "</think>" in text  # A monologue may be cut out of its middle.


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_a_model_in_a_loop_holds_nobody_up(text: str) -> None:
    """Milliseconds when linear, minutes when a pattern backtracks; the bound is far from both."""
    begin = time.process_time()
    parse_reply(text)
    closed_answer(text)
    assert time.process_time() - begin < 2


@given(names, arguments)
def test_a_rendered_call_comes_back(name: str, given_arguments: dict[str, Json]) -> None:
    assert parse_reply(render_call(name, given_arguments)) == CallReply(name=name, arguments=given_arguments)


@given(names, arguments, prose, prose)
def test_a_call_comes_back_from_prose_and_pretty_print(
    name: str, given_arguments: dict[str, Json], before: str, after: str
) -> None:
    body = json.dumps({"name": name, "arguments": given_arguments}, indent=2).replace("<", "\\u003c")
    text = f"{before}<tool_call>{before}{body}{after}</tool_call>{after}"
    assert parse_reply(text) == CallReply(name=name, arguments=given_arguments)


@given(st.text(alphabet=st.characters(exclude_characters="<"), min_size=1).filter(str.strip), prose)
def test_an_answer_comes_back(answer: str, monologue: str) -> None:
    text = f"<think>{monologue}</think>\n<answer>{answer}</answer>"
    assert parse_reply(text) == AnswerReply(answer=answer.strip())
