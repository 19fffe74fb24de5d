"""Whether the replies of an episode keep to the format, so that it earns the format reward.

Rule: the format is judged by what the episode made of each reply, not by reading it again: a call is valid when a tool
accepted it, and no tool is expected where the protocol offered none.

The released checks are patterns like "<think>.*</think>.*<answer>.*</answer>$". A model that repeats a tag by the
thousand keeps such a pattern busy for minutes, so the same conditions are looked up by position instead.
"""

import re
from typing import Literal, TypeAlias

from visionthink.core.reply import ANSWER_TAGS, CALL_TAGS, THINK_TAGS
from visionthink.core.trace import Signal, Trace, TurnTrace

FormatRule: TypeAlias = Literal["paper", "released"]
"""Which well-formedness check earns the format reward; see ``format_ok``."""


def format_ok(trace: Trace, rule: FormatRule, *, offers_tools: bool) -> bool:
    """Whether all replies of an episode keep to the format.

    Args:
        trace: all replies but the last must be calls, the last an answer.
        rule: ``released`` is the released check with its two slips (one opening and two closing call tags pass; white
            space around the last of several replies fails), and it does not look at the call itself. ``paper`` mends
            both and wants each call to be valid: read as one JSON object, and accepted by the tool that it names.
        offers_tools: whether the episode's protocol offers tools. Where it does not, the single reply must be a
            monologue and an answer with nothing around them: the released check of the variant that has no tool.

    Source: VisionThink 3.3; released ``general_qa_tool`` and ``general_qa`` format checks.
    """
    if not trace.turns:
        return False
    *calls, end = trace.turns
    last = end.reply.text
    if not offers_tools:
        return not calls and _is_plain_answer_turn(last.strip())
    if rule == "released":
        # Of several replies the released code strips all but the last.
        is_answer = _is_answer_turn(last if calls else last.strip())
        return all(_is_released_call(turn.reply.text.strip()) for turn in calls) and is_answer
    return all(map(_is_valid_call, calls)) and _is_answer_turn(last.strip())


def _is_plain_answer_turn(text: str) -> bool:
    opening, closing = THINK_TAGS[0], ANSWER_TAGS[1]
    if not text.startswith(opening) or not text.endswith(closing):
        return False
    inside = text[len(opening) : -len(closing)]
    return re.search(rf"{THINK_TAGS[1]}\s*{ANSWER_TAGS[0]}", inside) is not None


def _is_answer_turn(text: str) -> bool:
    tags = (*THINK_TAGS, *ANSWER_TAGS)
    if any(text.count(tag) != 1 for tag in tags) or any(tag in text for tag in CALL_TAGS):
        return False
    places = [text.index(tag) for tag in tags]
    # One line break behind the end is what "$" lets pass.
    is_closed = text.removesuffix("\n").endswith(ANSWER_TAGS[1])
    return text.startswith(THINK_TAGS[0]) and places == sorted(places) and is_closed


def _is_released_call(text: str) -> bool:
    if any(text.count(tag) != 1 for tag in THINK_TAGS) or any(tag in text for tag in ANSWER_TAGS):
        return False
    is_framed = text.startswith(THINK_TAGS[0]) and text.endswith(CALL_TAGS[1])
    opens_after_monologue = CALL_TAGS[0] in text.partition(THINK_TAGS[1])[2]
    return is_framed and opens_after_monologue and 1 in map(text.count, CALL_TAGS)


def _is_valid_call(turn: TurnTrace) -> bool:
    text = turn.reply.text.strip()
    is_accepted = turn.signal is Signal.CALL
    return is_accepted and _is_released_call(text) and all(text.count(tag) == 1 for tag in CALL_TAGS)
