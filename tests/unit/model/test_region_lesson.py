"""Lessons about regions: windows show what stands in them, calls aim a little, and thoughts name the true place."""

import json
import random
import re
from collections import Counter

from tests.unit.engines.tiny_model import tiny_processor

from visionthink.config import ViewConfig
from visionthink.core.closer_look import REGIONS, WHOLE, named_view
from visionthink.core.geometry import Size, View, full_view, quarter_view
from visionthink.core.reply import CallReply, parse_reply
from visionthink.datasets.world import FAMILIES, SIDE
from visionthink.model.lesson import Lesson
from visionthink.model.region_lesson import RegionTeacher

RULE = ViewConfig().rule()
SIZE = Size(width=SIDE, height=SIDE)
FULL, QUARTER = full_view(SIZE, RULE), quarter_view(SIZE, RULE)
WINDOWS = {named_view(region, SIZE, RULE): region for region in REGIONS}
PLACES = ("shape at", "dots at", "tag at", "chart at")
MAX_REPLY_TOKENS = 40
NUM_LESSONS = 400


def teacher(seed: int = 0) -> RegionTeacher:
    return RegionTeacher(rule=RULE, rng=random.Random(seed))


def first_view(lesson: Lesson) -> View:
    return lesson.messages[0].views[0]


def texts(lesson: Lesson) -> list[str]:
    return ["".join(piece.text for piece in pieces) for pieces in lesson.replies]


def place_in(thought: str) -> str | None:
    found = re.match(r"<think>the \w+ , (\w+ \w+) \.", thought)
    return found[1] if found else None


def called(lesson: Lesson) -> str | None:
    reply = parse_reply(texts(lesson)[0])
    return str(reply.arguments["region"]) if isinstance(reply, CallReply) else None


def test_recitals_of_a_window_tell_only_of_its_panel() -> None:
    one = teacher()
    seen = 0
    for _ in range(NUM_LESSONS // 4):
        lesson = one.recital()
        cues = re.findall(rf" ({'|'.join([*PLACES, *FAMILIES])})=", texts(lesson)[0])
        if first_view(lesson) in WINDOWS:
            seen += 1
            assert len({FAMILIES[cue].panel for cue in cues}) == 1 and "corner" not in cues
        else:
            assert set(PLACES) <= set(cues)
    assert seen


def test_question_rounds_of_a_window_ask_only_for_what_it_shows() -> None:
    one = teacher()
    for _ in range(NUM_LESSONS // 4):
        lesson = one.question_round()
        if first_view(lesson) in WINDOWS:
            questions = [message.text for message in lesson.messages[::2]]
            panels = {
                family.panel for family in FAMILIES.values() if any(text in questions for text in family.questions)
            }
            assert len(panels) == 1


def test_half_of_the_replies_that_may_ask_do_so_whatever_the_question() -> None:
    one = teacher()
    asks = Counter[tuple[bool, bool]]()
    for lesson in (one.episode() for _ in range(4 * NUM_LESSONS)):
        if lesson.messages[0].text.endswith("you may look closer .") and lesson.replies[0][0].weight > 0:
            asks[FAMILIES[lesson.family].needs_high_res, called(lesson) is not None] += 1
    for needed in (False, True):
        assert 0.3 < asks[needed, True] / (asks[needed, True] + asks[needed, False]) < 0.6


def test_calls_aim_a_little_and_thoughts_name_the_true_place() -> None:
    one = teacher()
    aimed = Counter[bool]()
    wholes = 0
    for lesson in (one.episode() for _ in range(6 * NUM_LESSONS)):
        region = called(lesson)
        if region is None or lesson.replies[0][0].weight == 0:
            continue
        named = place_in(texts(lesson)[0])
        assert named in REGIONS
        if region == WHOLE:
            wholes += 1
        else:
            aimed[region == named] += 1
    assert 0.5 < aimed[True] / aimed.total() < 0.7
    assert 0.1 < wholes / (wholes + aimed.total()) < 0.3


def test_given_calls_count_nothing_and_show_what_holds_the_evidence() -> None:
    one = teacher()
    given = [lesson for lesson in (one.episode() for _ in range(2 * NUM_LESSONS)) if lesson.replies[0][0].weight == 0]
    assert given
    for lesson in given:
        assert called(lesson) in (place_in(texts(lesson)[0]), WHOLE)
        assert all(piece.weight > 0 for piece in lesson.replies[1])


def test_a_window_shown_at_once_has_a_thought_without_a_place() -> None:
    one = teacher()
    lessons = [lesson for lesson in (one.episode() for _ in range(NUM_LESSONS)) if first_view(lesson) in WINDOWS]
    assert lessons and all(place_in(texts(lesson)[0]) is None for lesson in lessons)


def test_every_reply_fits_the_bound_on_replies() -> None:
    one, tokenizer = teacher(), tiny_processor().tokenizer
    replies = {text for _ in range(NUM_LESSONS) for text in texts(one.episode())}
    assert max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in replies) < MAX_REPLY_TOKENS


def test_calls_are_json_that_the_tool_takes() -> None:
    one = teacher()
    found = [text for _ in range(NUM_LESSONS) for text in texts(one.episode()) if "<tool_call>" in text]
    for text in found:
        call = json.loads(text.split("<tool_call>")[1].removesuffix("</tool_call>"))
        assert call["name"] == "look_at" and call["arguments"]["region"] in (*REGIONS, WHOLE)
