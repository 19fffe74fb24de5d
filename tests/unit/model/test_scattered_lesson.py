"""Lessons of the layout `scattered`: thoughts name a tag's color, and every window that holds a panel teaches."""

import json
import random
import re
from collections import Counter

import pytest

from visionthink.core.closer_look import LOOK_NEAR, NEAR_REGIONS, WHOLE, named_view
from visionthink.core.geometry import View, ViewRule, quarter_view
from visionthink.core.reply import CallReply, parse_reply
from visionthink.datasets.world import SCATTERED
from visionthink.model.lesson import Lesson
from visionthink.model.region_lesson import SCATTERED_SHARES, RegionTeacher
from visionthink.model.tokenizer import build_tokenizer

RULE = ViewRule(max_pixels=224 * 224, min_pixels=224 * 224)
WINDOWS = {named_view(region, SCATTERED.size, RULE): region for region in NEAR_REGIONS}
COLORED = ("code", "framed", "suffix")
MAX_REPLY_TOKENS = 40
NUM_LESSONS = 300
THOUGHT = re.compile(r"<think>the ([\w ]+) , (\w+(?: \w+)?) \.")


@pytest.fixture
def teacher() -> RegionTeacher:
    return RegionTeacher(rule=RULE, rng=random.Random(0), layout=SCATTERED, tool=LOOK_NEAR, shares=SCATTERED_SHARES)


def first_view(lesson: Lesson) -> View:
    return lesson.messages[0].views[0]


def texts(lesson: Lesson) -> list[str]:
    return ["".join(piece.text for piece in pieces) for pieces in lesson.replies]


def called(lesson: Lesson) -> str | None:
    reply = parse_reply(texts(lesson)[0])
    return str(reply.arguments["region"]) if isinstance(reply, CallReply) else None


def test_windows_are_taught_wherever_they_lie(teacher: RegionTeacher) -> None:
    found = Counter(WINDOWS.get(first_view(teacher.recital())) for _ in range(NUM_LESSONS))
    assert set(found) == {None, *NEAR_REGIONS}


def test_a_recital_of_a_window_tells_of_no_place(teacher: RegionTeacher) -> None:
    for lesson in (teacher.recital() for _ in range(NUM_LESSONS // 3)):
        cues = [piece.text for piece in lesson.replies[0] if piece.text.endswith("=")]
        if first_view(lesson) in WINDOWS:
            assert cues and not any(cue in (" corner=", " shape at=") for cue in cues)
        else:
            assert sum(cue.endswith(" at=") for cue in cues) == 5


def test_what_both_tags_have_is_named_with_a_color(teacher: RegionTeacher) -> None:
    for lesson in (teacher.episode() for _ in range(NUM_LESSONS)):
        if lesson.family == "letters":
            continue
        subject = re.match(r"<think>the ([\w ]+?) [,.]", texts(lesson)[0])
        assert subject is not None
        words = subject[1].split()
        assert words[-1] == lesson.family and len(words) == 1 + (lesson.family in COLORED)
        if lesson.family in COLORED:
            assert f" {words[0]} " in lesson.messages[0].text


def test_who_may_not_look_is_asked_for_what_the_quarter_view_shows(teacher: RegionTeacher) -> None:
    lessons = [teacher.episode() for _ in range(3 * NUM_LESSONS)]
    quarter = quarter_view(SCATTERED.size, RULE)
    direct = [one for one in lessons if first_view(one) == quarter and "look closer" not in one.messages[0].text]
    alone = [one for one in direct if one.family != "letters"]
    assert 0.07 < len(alone) / len(lessons) < 0.17
    assert not any(SCATTERED.families[one.family].needs_high_res for one in alone)


@pytest.fixture
def twice(teacher: RegionTeacher) -> list[Lesson]:
    """Lessons about two places."""
    lessons = [teacher.episode() for _ in range(5 * NUM_LESSONS)]
    found = [lesson for lesson in lessons if lesson.family == "letters"]
    assert 0.35 < len(found) / len(lessons) < 0.45
    return found


def test_two_looks_end_in_an_answer_that_follows_from_what_both_showed(twice: list[Lesson]) -> None:
    looked = [lesson for lesson in twice if len(lesson.replies) == 3]
    assert 0.2 < len(looked) / len(twice) < 0.5
    for lesson in looked:
        second, last = texts(lesson)[1:]
        noted = re.match(r"<think>(\w) , (\w) \. the letters \. [^<]+</think><answer>(\w\w)</answer>", last)
        assert noted is not None
        assert noted[3] == min(noted[1], noted[2]) + max(noted[1], noted[2])
        assert second.startswith(f"<think>{noted[1]} . the letters ,") and "<tool_call>" in second


def test_a_look_that_shows_both_places_is_followed_by_no_other(twice: list[Lesson]) -> None:
    for lesson in twice:
        regions = [parse_reply(text) for text in texts(lesson)[:-1]]
        asked = [str(reply.arguments["region"]) for reply in regions if isinstance(reply, CallReply)]
        assert len(asked) == len(set(asked)) == len(regions)
        assert WHOLE not in asked


def test_a_given_pair_of_calls_is_the_right_one_and_counts_nothing(twice: list[Lesson]) -> None:
    given = [lesson for lesson in twice if len(lesson.replies) > 1 and lesson.replies[0][0].weight == 0]
    for lesson in given:
        assert all(piece.weight == 0 for reply in lesson.replies[:-1] for piece in reply if "<tool_call>" in piece.text)
        places = [THOUGHT.match(texts(lesson)[0]), re.search(r"the letters , (\w+(?: \w+)?) \.", texts(lesson)[1])]
        assert places[0] is not None and called(lesson) == places[0][2]
    assert len({len(lesson.replies) for lesson in given}) == 2


def test_calls_aim_a_little_at_the_place_that_the_thought_names(teacher: RegionTeacher) -> None:
    aimed = Counter[bool]()
    for lesson in (teacher.episode() for _ in range(5 * NUM_LESSONS)):
        region = called(lesson)
        if region is None or region == WHOLE or lesson.replies[0][0].weight == 0:
            continue
        named = THOUGHT.match(texts(lesson)[0])
        assert named is not None
        aimed[region == named[2]] += 1
    assert 0.5 < aimed[True] / aimed.total() < 0.7


def test_a_given_call_is_for_any_window_that_holds_the_evidence(teacher: RegionTeacher) -> None:
    given = [
        lesson for lesson in (teacher.episode() for _ in range(5 * NUM_LESSONS)) if lesson.replies[0][0].weight == 0
    ]
    differs = 0
    for lesson in given:
        region, named = called(lesson), THOUGHT.match(texts(lesson)[0])
        assert region is not None and named is not None
        differs += region not in (WHOLE, named[2])
        if region != WHOLE:
            one, other = (named_view(name, SCATTERED.size, RULE).box for name in (region, named[2]))
            assert one is not None and other is not None
            assert max(abs(one.left - other.left), abs(one.top - other.top)) <= 56
    assert 0 < differs < len(given) / 2


def test_every_reply_fits_the_bound_on_replies_and_every_call_the_tool(teacher: RegionTeacher) -> None:
    tokenizer = build_tokenizer(SCATTERED)
    for text in {text for _ in range(NUM_LESSONS) for text in texts(teacher.episode())}:
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) < MAX_REPLY_TOKENS
        if "<tool_call>" in text:
            call = json.loads(text.split("<tool_call>")[1].removesuffix("</tool_call>"))
            assert call["name"] == "look_near" and call["arguments"]["region"] in (*NEAR_REGIONS, WHOLE)
