"""What replies mean: calls however they are laid out, answers, and the sentences a bad call gets back."""

import pytest

from visionthink.core import (
    AnswerReply,
    BadCallReply,
    CallReply,
    EmptyReply,
    FormatRule,
    Reply,
    ResizeImage,
    ToolBox,
    UntaggedReply,
    closed_answer,
    format_ok,
    parse_reply,
    render_call,
)

RESIZE = CallReply(name="resize_image", arguments={"action": "resize"})
LINE = '{"name": "resize_image", "arguments": {"action": "resize"}}'
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


TOOLBOX = ToolBox([ResizeImage()])
NO_TOOLS = ToolBox()
DIRECT = "<think>clear</think><answer>red</answer>"
CALL_TURN = f"<think>small</think>\n<tool_call>\n{LINE}\n</tool_call>"


@pytest.mark.parametrize(
    ("replies", "released", "paper"),
    [
        ([DIRECT], True, True),
        ([f"\n{DIRECT}\n"], True, True),
        (["<think>a</think> so <answer>red</answer>"], True, True),
        (["<answer>red</answer>"], False, False),
        ([f"Well. {DIRECT}"], False, False),
        ([f"{DIRECT} Bye."], False, False),
        (["<think>a</think><think>b</think><answer>red</answer>"], False, False),
        (["<think>a</think><answer>red</answer><answer>blue</answer>"], False, False),
        ([f"<think>a</think>{CALL}<answer>red</answer>"], False, False),
        ([CALL_TURN], False, False),
        ([CALL_TURN, DIRECT], True, True),
        ([f"\n{CALL_TURN}\n", DIRECT], True, True),
        ([CALL_TURN, CALL_TURN, DIRECT], True, True),
        ([CALL_TURN, f"\n{DIRECT}"], False, True),
        ([CALL_TURN, f"{DIRECT}\n"], True, True),
        ([CALL_TURN, f"{DIRECT}\n\n"], False, True),
        (["<think>a<answer>red</think></answer>"], False, False),
        ([CALL, DIRECT], False, False),
        ([f"{CALL_TURN} ok?", DIRECT], False, False),
        ([DIRECT, DIRECT], False, False),
        ([f"<think>a</think><answer>b</answer>{CALL}", DIRECT], False, False),
        ([f"{CALL_TURN}</tool_call>", DIRECT], True, False),
        ([f"{CALL_TURN}{CALL}", DIRECT], False, False),
        (["<think>a</think><tool_call>{broken</tool_call>", DIRECT], True, False),
        (['<think>a</think><tool_call>{"name": "zoom", "arguments": {}}</tool_call>', DIRECT], True, False),
        ([CALL_TURN.replace('"resize"}', '"shrink"}'), DIRECT], True, False),
        ([], False, False),
    ],
    ids=[
        "direct answer",
        "white space around a direct answer",
        "prose between monologue and answer",
        "no monologue",
        "prose before",
        "prose after",
        "two monologues",
        "two answers",
        "call and answer in one turn",
        "call without an answer",
        "call and answer",
        "white space around the call",
        "two calls and an answer",
        "white space before the last of several: a slip of the released check",
        "one line break behind the last",
        "two line breaks behind the last: the same slip",
        "crossed tags",
        "call without a monologue",
        "prose after the call",
        "two answers in two turns",
        "answer in the call's turn",
        "one opening and two closing tags: a slip of the released check",
        "two calls in one turn",
        "broken JSON: the released check never reads it",
        "unknown function",
        "wrong argument",
        "nothing at all",
    ],
)
def test_format_rules(replies: list[str], released: bool, paper: bool) -> None:
    assert format_ok(replies, "released", TOOLBOX) is released
    assert format_ok(replies, "paper", TOOLBOX) is paper


@pytest.mark.parametrize("rule", ["paper", "released"])
@pytest.mark.parametrize(
    ("replies", "want"),
    [
        ([DIRECT], True),
        ([f"\n{DIRECT}\n"], True),
        (["<think>a</think> so <answer>red</answer>"], False),
        ([DIRECT, DIRECT], False),
        ([CALL_TURN], False),
        ([], False),
    ],
    ids=["plain", "white space around", "prose between", "two turns", "a call", "nothing at all"],
)
def test_without_tools_the_general_format_holds(replies: list[str], want: bool, rule: FormatRule) -> None:
    assert format_ok(replies, rule, NO_TOOLS) is want
