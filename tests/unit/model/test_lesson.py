"""Lessons show what the core's episode would show, and say the truth about the picture."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from tests.unit.engines.tiny_model import tiny_processor

from visionthink.config import ViewConfig
from visionthink.core.episode import EpisodeSpec, Finish, FinishReason, ModelReply, Outcome, advance, start
from visionthink.core.format import format_ok
from visionthink.core.geometry import Size, View, full_view, quarter_view
from visionthink.core.message import Message, Role
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.datasets.world import FAMILIES, GRID, SIDE, split_of
from visionthink.datasets.world.generate import scenes
from visionthink.engines.encoding import Encoder
from visionthink.model.lesson import Lesson, Piece, Teacher

RULE = ViewConfig().rule()
SIZE = Size(width=SIDE, height=SIDE)
FULL, QUARTER = full_view(SIZE, RULE), quarter_view(SIZE, RULE)
TOOLBOX = ToolBox([ResizeImage()])
FAMILY_OF = {question: family for family in FAMILIES.values() for question in family.questions}
OFFER = " you may ask for more pixels ."


def teacher(seed: int = 0) -> Teacher:
    return Teacher(rule=RULE, rng=random.Random(seed))


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def views_of(lesson: Lesson) -> list[View]:
    return [view for message in lesson.messages for view in message.views]


def assistant_texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages if message.role is Role.ASSISTANT]


def replayed(lesson: Lesson) -> Finish:
    """The lesson's replies sent to an episode that is specified from what the first message shows."""
    question, view = lesson.messages[0].text, lesson.messages[0].views[0]
    may_ask = question.endswith(OFFER)
    spec = EpisodeSpec(
        question=question.removesuffix(OFFER),
        original=SIZE,
        protocol=get_protocol("compact-efficient-v1" if may_ask else "compact-general-v1"),
        toolbox=TOOLBOX,
        rule=RULE,
        first_view="full" if view == FULL else "quarter",
    )
    step = start(spec)
    for pieces in lesson.replies:
        ids = tiny_processor().tokenizer(text_of(pieces), add_special_tokens=False)["input_ids"]
        reply = ModelReply(text=text_of(pieces), finish_reason=FinishReason.STOP, token_ids=tuple(ids))
        step = advance(step.state, reply)
    assert isinstance(step.command, Finish)
    return step.command


def test_an_episode_lesson_is_id_for_id_an_episode() -> None:
    encoder, source = Encoder(tiny_processor()), teacher()
    for lesson in (source.episode() for _ in range(60)):
        finish = replayed(lesson)
        got = encoder.encode(lesson.messages, lesson.picture)
        want = encoder.encode_trace(finish.trace, lesson.picture)
        assert got.input_ids.tolist() == want.input_ids.tolist()
        assert got.reply_mask.tolist() == want.reply_mask.tolist()
        assert finish.outcome is Outcome.ANSWERED
        assert format_ok(finish.trace, "paper", offers_tools=True)


def test_the_pieces_of_a_lesson_are_its_replies() -> None:
    source = teacher()
    for make in (source.recital, source.question_round, source.episode):
        for lesson in (make() for _ in range(20)):
            assert assistant_texts(lesson.messages) == [text_of(pieces) for pieces in lesson.replies]


def test_pieces_are_tokenised_alike_alone_and_together() -> None:
    """Then a model that is fed its own words later meets the ids that it has learned to write."""
    tokenizer, source = tiny_processor().tokenizer, teacher()

    def ids(text: str) -> list[int]:
        return [*tokenizer(text, add_special_tokens=False)["input_ids"]]

    for make in (source.recital, source.question_round, source.episode):
        for lesson in (make() for _ in range(20)):
            for pieces in lesson.replies:
                assert [token for piece in pieces for token in ids(piece.text)] == ids(text_of(pieces))


def test_answers_are_true_and_of_the_pretraining_split() -> None:
    """The teacher draws its scenes from its own random numbers, so they can be drawn again."""
    for seed in range(30):
        for kind in ("recital", "question_round", "episode"):
            lesson, rng = getattr(teacher(seed), kind)(), random.Random(seed)
            if kind == "episode":
                rng.random()  # which kind of episode, drawn before its scene
            scene = next(scenes("pretrain", rng, GRID))
            answers = [piece.text for pieces in lesson.replies for piece in pieces if piece.weight > 2]
            assert answers == [FAMILIES[name].answer(scene) for name in asked(lesson)]
            assert split_of(scene) == "pretrain"


def asked(lesson: Lesson) -> list[str]:
    """The families of a lesson, in order."""
    cues = [piece.text for pieces in lesson.replies for piece in pieces if piece.text.endswith("=")]
    if cues:
        return [cue.strip(" =") for cue in cues]
    questions = [message.text.removesuffix(OFFER) for message in lesson.messages if message.role is Role.USER]
    return [FAMILY_OF[question].name for question in questions if question in FAMILY_OF]


@pytest.mark.parametrize("kind", ["recital", "question_round"])
def test_nothing_is_asked_that_the_shown_view_cannot_answer(kind: str) -> None:
    source, seen = teacher(), Counter[bool]()
    for _ in range(120):
        lesson = getattr(source, kind)()
        (view,) = views_of(lesson)
        seen[view == FULL] += 1
        names = asked(lesson)
        assert len(set(names)) == len(names) > 0
        assert view == FULL or not any(FAMILIES[name].needs_high_res for name in names)
    assert 0.6 < seen[True] / seen.total() < 0.9, "mostly the full view, which shows more"


def test_whether_an_episode_asks_does_not_depend_on_the_question() -> None:
    """So there is something left to learn."""
    source = teacher()
    counts: Counter[tuple[bool, bool]] = Counter()
    for _ in range(1500):
        lesson = source.episode()
        if lesson.messages[0].text.endswith(OFFER):
            counts[FAMILIES[lesson.family].needs_high_res, len(lesson.replies) == 2] += 1
    rates = [counts[needs, True] / (counts[needs, True] + counts[needs, False]) for needs in (True, False)]
    assert rates == pytest.approx([0.5, 0.5], abs=0.08)


def test_an_episode_that_asks_is_shown_the_full_view_next() -> None:
    source = teacher()
    for lesson in (source.episode() for _ in range(80)):
        asks = len(lesson.replies) == 2
        assert views_of(lesson) == ([QUARTER, FULL] if asks else views_of(lesson)[:1])
        assert not asks or lesson.messages[0].text.endswith(OFFER), "a call is only learned where it is offered"


def test_episodes_of_all_kinds_and_families_come_up() -> None:
    source, kinds = teacher(), Counter[tuple[bool, bool, bool]]()
    families = set()
    for lesson in (source.episode() for _ in range(400)):
        families.add(lesson.family)
        kinds[lesson.messages[0].text.endswith(OFFER), views_of(lesson)[0] == FULL, len(lesson.replies) == 2] += 1
    assert families == set(FAMILIES)
    assert set(kinds) == {(False, True, False), (False, False, False), (True, False, False), (True, False, True)}
    assert all(count / 400 > 0.1 for count in kinds.values())


def test_the_same_random_numbers_make_the_same_lessons() -> None:
    for kind in ("recital", "question_round", "episode"):
        first, again = (getattr(teacher(3), kind)() for _ in range(2))
        assert first.messages == again.messages
        assert first.picture.tobytes() == again.picture.tobytes()
