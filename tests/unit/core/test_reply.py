"""What replies mean: calls however they are laid out, answers, and the sentences a bad call gets back."""

import pytest

from visionthink.core import (
    AnswerReply,
    BadCallReply,
    CallReply,
    EmptyReply,
    Reply,
    UntaggedReply,
    closed_answer,
    parse_reply,
    render_call,
)

RESIZE = CallReply(name="resize_image", arguments={"action": "resize"})
LINE = '{"name": "resize_image", "arguments": {"action": "resize"}}'
NOT_KEPT = "the JSON object is nested too deep, or holds half a character or an endless number"
PRETTY = '{\n  "name": "resize_image",\n  "arguments": {\n    "action": "resize"\n  }\n}'


@pytest.mark.parametrize(
    "inner",
    [
        f"\n{LINE}\n",
        LINE,
        PRETTY,
        f"```json\n{PRETTY}\n```",
        f"I will call {LINE} now.",
        f"a {{placeholder}} first: {LINE}",
        f"{LINE} trailing prose with a }}",
        '{"arguments": {"action": "resize"}, "name": "resize_image"}',
        '{"name": "resize_image", "arguments": {"action": "resize"}, "id": 1}',
    ],
    ids=[
        "as taught",
        "bare",
        "pretty",
        "fenced",
        "in prose",
        "after a brace",
        "before a brace",
        "reordered",
        "extra key",
    ],
)
def test_call_is_read_however_it_is_laid_out(inner: str) -> None:
    assert parse_reply(f"<think>small</think>\n<tool_call>{inner}</tool_call>\nThat should help.") == RESIZE


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("<tool_call></tool_call>", "the call holds no JSON object"),
        ("<tool_call>resize please</tool_call>", "the call holds no JSON object"),
        ('<tool_call>["resize_image"]</tool_call>', "the call holds no JSON object"),
        ("<tool_call>{'name': 'resize_image'}</tool_call>", "the JSON object is broken"),
        (f"<tool_call>{LINE[:-1]}</tool_call>", "the JSON object is broken"),
        ('<tool_call>{"name": "r", "arguments": {"zoom": NaN}}</tool_call>', "the JSON object is broken"),
        ("<tool_call>" + '{"":' * 1000 + "</tool_call>", "the JSON object is broken"),
        ('<tool_call>{"name":' + "[" * 4000 + "</tool_call>", "the JSON object is broken"),
        (f"<tool_call>{LINE}\n{LINE}</tool_call>", "2 JSON objects in one call, only one call is allowed per step"),
        (f"<tool_call>{LINE}</tool_call>" * 3, "3 calls in one reply, only one call is allowed per step"),
        (f"<tool_call>{LINE}", "the <tool_call> tag is never closed"),
        ('<tool_call>{"arguments": {}}</tool_call>', 'the JSON object has no text under "name"'),
        ('<tool_call>{"name": 1, "arguments": {}}</tool_call>', 'the JSON object has no text under "name"'),
        ('<tool_call>{"name": "r"}</tool_call>', 'the JSON object has no object under "arguments"'),
        ('<tool_call>{"name": "r", "arguments": "{}"}</tool_call>', 'the JSON object has no object under "arguments"'),
        (f"<tool_call>{' ' * 5000}{LINE}</tool_call>", "the call is longer than 4096 characters"),
        ('<tool_call>{"name": "r", "arguments": {"zoom": 1e999}}</tool_call>', NOT_KEPT),
        ('<tool_call>{"name": "r", "arguments": {"zoom": "\\ud800"}}</tool_call>', NOT_KEPT),
        ('<tool_call>{"name": "r", "arguments": {"a": ' + "[" * 40 + "]" * 40 + "}}</tool_call>", NOT_KEPT),
    ],
)
def test_bad_call_is_told_one_clear_thing(text: str, want: str) -> None:
    assert parse_reply(text) == BadCallReply(error=want)


CALL = f"<tool_call>{LINE}</tool_call>"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("<answer>red</answer>", AnswerReply(answer="red")),
        ("<think>hm</think><answer>\n red \n</answer>", AnswerReply(answer="red")),
        ("<answer>red</answer> or <answer>blue</answer>", AnswerReply(answer="blue")),
        ("<answer>red</answer><answer> </answer>", AnswerReply(answer="red")),
        ("<answer>it is <answer>red</answer>", AnswerReply(answer="red")),
        ("<answer>red", AnswerReply(answer="red")),
        ("<answer></answer>", UntaggedReply(text="<answer></answer>")),
        ("<answer></answer> red", UntaggedReply(text="<answer></answer> red")),
        (" red ", UntaggedReply(text="red")),
        ("<think>red</think>", UntaggedReply(text="<think>red</think>")),
        ("", EmptyReply()),
        (" \n\t", EmptyReply()),
        (f"{CALL}<answer>red</answer>", AnswerReply(answer="red")),
        (f"{CALL}<answer></answer>", RESIZE),
        (f"{CALL}<answer>red", RESIZE),
        (f"<answer>red</answer>{CALL}", RESIZE),
        ("<tool_call>broken<answer>red</answer>", AnswerReply(answer="red")),
        (f"<think>I could write <answer>x</answer>.</think>{CALL}", RESIZE),
        (f"<think>or {CALL}</think><answer>red</answer>", AnswerReply(answer="red")),
        (f"<think>so {CALL}</think>", RESIZE),
        ("<think><answer>red</answer></think>", AnswerReply(answer="red")),
        ("<think>never closed <answer>red</answer>", AnswerReply(answer="red")),
    ],
)
def test_reply_is_read_by_the_rules_of_the_module(text: str, want: Reply) -> None:
    assert parse_reply(text) == want


def test_call_with_a_tag_inside_an_argument_is_one_call() -> None:
    text = '<tool_call>{"name": "ask", "arguments": {"text": "<answer>x</answer>"}}</tool_call>'
    assert parse_reply(text) == CallReply(name="ask", arguments={"text": "<answer>x</answer>"})


def test_a_line_break_inside_an_argument_may_be_a_real_one() -> None:
    text = '<tool_call>{"name": "ask", "arguments": {"text": "a\nb"}}</tool_call>'
    assert parse_reply(text) == CallReply(name="ask", arguments={"text": "a\nb"})


def test_render_call_writes_what_the_paper_teaches() -> None:
    assert render_call("resize_image", {"action": "resize"}) == f"<tool_call>\n{LINE}\n</tool_call>"


def test_render_call_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_call("zoom", {"factor": float("nan")})


@pytest.mark.parametrize(
    ("text", "want"),
    [("<answer>red</answer> and on and", "red"), ("<answer>re", None), ("", None), ("<think><answer>a</answer>", "a")],
)
def test_closed_answer_takes_only_what_was_finished(text: str, want: str | None) -> None:
    assert closed_answer(text) == want
