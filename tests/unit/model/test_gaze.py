"""Where the language model is told to look: at the tokens of the evidence, from where an answer is foretold."""

import random
from typing import Any, cast

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_model

from visionthink.core.closer_look import LOOK_NEAR
from visionthink.core.geometry import Box, Size, View, ViewRule, quarter_view
from visionthink.datasets.world.layout import SCATTERED
from visionthink.engines.encoding import Encoder
from visionthink.model import gaze as subject
from visionthink.model.architecture import build_processor
from visionthink.model.gaze import Gaze, gaze_loss, gazes, shown_attention, watched
from visionthink.model.lesson import Lesson
from visionthink.model.lesson_loss import lesson_loss
from visionthink.model.region_lesson import RegionTeacher

RULE = ViewRule(max_pixels=224 * 224, min_pixels=224 * 224)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(build_processor(SCATTERED))


@pytest.fixture(scope="module")
def teacher() -> RegionTeacher:
    return RegionTeacher(rule=RULE, rng=random.Random(3), layout=SCATTERED, tool=LOOK_NEAR)


def marked(lesson: Lesson, encoder: Encoder) -> list[tuple[Gaze, str, torch.Tensor]]:
    """Each mark, the token that is foretold there, and all ids of the row."""
    encoded = encoder.encode(lesson.messages, lesson.picture)
    ids = encoded.input_ids
    found = list(gazes(lesson, encoded, encoder, row=7))
    return [(mark, encoder.processor.tokenizer.decode(ids[mark.position + 1]), ids) for mark in found]


def test_a_mark_stands_before_every_token_that_is_read_off_the_picture(
    encoder: Encoder, teacher: RegionTeacher
) -> None:
    for _ in range(20):
        lesson = teacher.recital()
        marks = marked(lesson, encoder)
        assert "".join(token for _, token, _ in marks) == "".join(
            piece.text for reply in lesson.replies for piece in reply if piece.box is not None
        )
        for mark, _, ids in marks:
            assert mark.row == 7 and mark.columns
            assert all(ids[column] == encoder.image_id for column in mark.columns)


def test_the_tokens_are_those_that_show_some_of_the_box() -> None:
    whole = Size(width=224, height=224)
    panel = Box(left=84, top=28, right=140, bottom=84)
    full = subject._Seen(View(size=whole), range(10, 74))
    assert subject._showing(full, panel, whole) == (10 + 8 + 3, 10 + 8 + 4, 10 + 16 + 3, 10 + 16 + 4)
    quarter = subject._Seen(quarter_view(whole, RULE), range(16))
    assert subject._showing(quarter, panel, whole) == (1, 2, 5, 6)
    beside = subject._Seen(
        View(size=Size(width=112, height=112), box=Box(left=0, top=112, right=112, bottom=224)), range(16)
    )
    assert subject._showing(beside, panel, whole) == ()


def test_after_a_look_the_evidence_is_in_the_window_and_where_that_missed_it_in_the_first_view(
    encoder: Encoder, teacher: RegionTeacher
) -> None:
    seen = set()
    for lesson in (teacher.episode() for _ in range(300)):
        views = [view for message in lesson.messages for view in message.views]
        if len(views) < 2 or views[1].box is None:
            continue
        first = views[0].visual_tokens
        answers = [piece for piece in lesson.replies[-1] if piece.box is not None and piece.weight > 2]
        if len(answers) != 1:
            continue
        ids = encoder.encode(lesson.messages, lesson.picture).input_ids
        columns = (ids == encoder.image_id).nonzero().flatten().tolist()
        mark, _, _ = marked(lesson, encoder)[-1]
        box = cast("Box", answers[0].box)
        held = views[1].box.contains(box)
        in_first = set(mark.columns) <= set(columns[:first])
        seen.add((held, in_first))
        assert not (held and in_first)
    assert (True, False) in seen and (False, True) in seen


def test_the_loss_is_nothing_where_all_attention_is_right_and_much_where_none_is() -> None:
    attention = torch.zeros(1, 2, 4, 4)
    attention[0, :, 3, 1:3] = 0.5
    assert gaze_loss(attention, [Gaze(0, 3, (1, 2))]).item() == pytest.approx(0.0, abs=1e-3)
    assert gaze_loss(attention, [Gaze(0, 3, (0,))]).item() > 9
    assert gaze_loss(attention, [Gaze(0, 3, (1,))]).item() == pytest.approx(0.693, abs=1e-2)
    assert gaze_loss(attention, []).item() == 0.0


def test_a_model_that_is_told_where_to_look_looks_there(encoder: Encoder, teacher: RegionTeacher) -> None:
    model, lessons = cast("Any", tiny_model()), [teacher.recital() for _ in range(2)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before, found = model.config.text_config._attn_implementation, list[float]()
    with shown_attention(model):
        for _ in range(12):
            plain, _ = lesson_loss(model, encoder, lessons)
            loss, _ = lesson_loss(model, encoder, lessons, gaze_weight=1.0)
            found.append((loss - plain).item())
            (loss - plain).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    assert found[0] > 1 and found[-1] < 0.5 * found[0]
    assert model.config.text_config._attn_implementation == before
    with watched(model) as attention:
        lesson_loss(model, encoder, lessons)
    assert attention == [None], "otherwise the attention is not computed so"
