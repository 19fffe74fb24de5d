"""The parser under any text: it never raises, and it gives back every call that was rendered."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core import (
    AnswerReply,
    CallReply,
    EmptyReply,
    Json,
    ResizeImage,
    ToolBox,
    UntaggedReply,
    closed_answer,
    format_ok,
    parse_reply,
    render_call,
)

TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>"]
JSON_PIECES = ["{", "}", "[", "]", ":", ",", '"', "\\", '"name"', '"arguments"', '"resize"', "NaN", "1e999", "```json"]
CALL = render_call("resize_image", {"action": "resize"})
TOOLBOX = ToolBox([ResizeImage()])

texts = st.text() | st.lists(st.sampled_from([*TAGS, *JSON_PIECES, CALL]) | st.text(max_size=4), max_size=20).map(
    "".join
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=12) | st.sampled_from(TAGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=8) | st.sampled_from(TAGS), json_values, max_size=4)
names = st.text(min_size=1, max_size=20) | st.sampled_from(TAGS)
prose = st.text(alphabet=st.characters(exclude_characters="<{"), max_size=20)


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


@given(st.lists(texts, max_size=3))
def test_format_checks_never_raise_and_the_paper_is_the_stricter(replies: list[str]) -> None:
    released, paper = format_ok(replies, "released", TOOLBOX), format_ok(replies, "paper", TOOLBOX)
    tidy = [reply.strip() for reply in replies]
    assert not paper or format_ok(tidy, "released", TOOLBOX)
    assert isinstance(released, bool)


def _released_form(text: str, *, is_last: bool) -> bool:
    """The released check as it is published: patterns, then counts, one of them with its slip."""
    if is_last:
        return (
            re.match(r"^<think>.*</think>.*<answer>.*</answer>$", text, re.DOTALL) is not None
            and all(text.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>"))
            and "<tool_call>" not in text
            and "</tool_call>" not in text
        )
    return (
        re.match(r"^<think>.*</think>.*<tool_call>.*</tool_call>$", text, re.DOTALL) is not None
        and text.count("<think>") == text.count("</think>") == 1
        and not (text.count("<tool_call>") != 1 and text.count("</tool_call>") != 1)
        and "<answer>" not in text
        and "</answer>" not in text
    )


nearly_tidy = st.builds(
    "{}<think>{}</think>{}<{}>{}</{}>{}".format,
    *[st.sampled_from(["", "", "", " ", "\n", "x", *TAGS])] * 3,
    st.sampled_from(["answer", "tool_call"]),
    st.sampled_from(["", "x", *TAGS]),
    st.sampled_from(["answer", "tool_call"]),
    st.sampled_from(["", "", "\n", " ", "x", *TAGS]),
)
turns = nearly_tidy | st.lists(st.sampled_from([*TAGS, "x", " ", "\n"]), max_size=8).map("".join)


@given(st.lists(turns, min_size=1, max_size=3))
def test_released_format_is_the_published_check(replies: list[str]) -> None:
    *calls, last = replies
    last = last if calls else last.strip()
    want = all(_released_form(call.strip(), is_last=False) for call in calls) and _released_form(last, is_last=True)
    assert format_ok(replies, "released", TOOLBOX) is want


@given(turns)
def test_format_without_tools_is_the_published_check(reply: str) -> None:
    want = re.fullmatch(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", reply, re.DOTALL) is not None
    assert format_ok([reply], "released", ToolBox()) is want


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + "</think>" * 4000 + "<answer>" * 4000,
        "<think></think>" * 20_000,
        "<think>" * 40_000,
        "<think></think>" + "<tool_call>" * 20_000 + "</tool_call> ",
        "<answer></answer>" * 20_000,
        "<tool_call>" + "{" * 4000 + "</tool_call>",
        "<tool_call>" + '{"a":' * 800 + "</tool_call>",
    ],
    ids=["tags in turn", "monologues", "open monologues", "calls", "answers", "braces", "nesting"],
)
def test_a_model_in_a_loop_holds_nobody_up(text: str) -> None:
    """Milliseconds when linear, minutes when a pattern backtracks; the bound is far from both."""
    begin = time.process_time()
    parse_reply(text)
    for toolbox in (TOOLBOX, ToolBox()):
        format_ok([text], "released", toolbox)
        format_ok([text, text], "paper", toolbox)
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
    assert format_ok([text], "paper", TOOLBOX)
