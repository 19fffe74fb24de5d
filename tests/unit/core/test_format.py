"""The format reward: which replies keep to the format, by the paper and by its released code."""

import pytest
from tests.fakes.replied import replied

from visionthink.core import CropImage, FormatRule, Json, ToolBox, format_ok, render_call

LINE = '{"name": "resize_image", "arguments": {"action": "resize"}}'
CALL = f"<tool_call>{LINE}</tool_call>"
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
    assert format_ok(replied(replies), "released", offers_tools=True) is released
    assert format_ok(replied(replies), "paper", offers_tools=True) is paper


@pytest.mark.parametrize(
    ("box", "is_accepted"), [([0, 0, 112, 112], True), ([0, 0, 9999, 112], False)], ids=["inside", "leaves the view"]
)
def test_only_an_accepted_call_keeps_to_the_papers_format(box: list[Json], is_accepted: bool) -> None:
    turn = f"<think>small</think>{render_call('crop_image', {'bbox_2d': box})}"
    trace = replied([turn, DIRECT], ToolBox([CropImage()]))
    assert format_ok(trace, "paper", offers_tools=True) is is_accepted
    assert format_ok(trace, "released", offers_tools=True)


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
    assert format_ok(replied(replies), rule, offers_tools=False) is want
