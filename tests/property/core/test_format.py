"""The format checks under any text: they never raise, never hang, and are the published ones."""

import re
import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.replied import replied
from tests.property.core.strategies import LOOPS, TAGS, prose, texts

from visionthink.core import FormatRule, format_ok

RULES: Final[tuple[FormatRule, ...]] = ("released", "paper")


@given(st.lists(texts, max_size=3))
def test_format_checks_never_raise_and_the_paper_is_the_stricter(replies: list[str]) -> None:
    released, paper = (format_ok(replied(replies), rule, offers_tools=True) for rule in RULES)
    tidy = replied([reply.strip() for reply in replies])
    assert not paper or format_ok(tidy, "released", offers_tools=True)
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
    assert format_ok(replied(replies), "released", offers_tools=True) is want


@given(turns)
def test_format_without_tools_is_the_published_check(reply: str) -> None:
    want = re.fullmatch(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", reply, re.DOTALL) is not None
    assert format_ok(replied([reply]), "released", offers_tools=False) is want


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_a_model_in_a_loop_holds_nobody_up(text: str) -> None:
    """Milliseconds when linear, minutes when a pattern backtracks; the bound is far from both."""
    traces = (replied([text]), replied([text, text]))
    begin = time.process_time()
    for trace in traces:
        for offers_tools in (True, False):
            for rule in RULES:
                format_ok(trace, rule, offers_tools=offers_tools)
    assert time.process_time() - begin < 2


@given(st.text(alphabet=st.characters(exclude_characters="<"), min_size=1).filter(str.strip), prose)
def test_a_monologue_and_an_answer_keep_to_every_format(answer: str, monologue: str) -> None:
    trace = replied([f"<think>{monologue}</think>\n<answer>{answer}</answer>"])
    for rule in RULES:
        for offers_tools in (True, False):
            assert format_ok(trace, rule, offers_tools=offers_tools)
