"""A lesson's loss counts each reply token with the weight of its piece, and nothing else."""

import random
from types import SimpleNamespace

import pytest
import torch
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import ViewConfig
from visionthink.engines.encoding import Encoder
from visionthink.model.lesson import Lesson, Teacher
from visionthink.model.lesson_loss import lesson_loss

ANSWER_WEIGHT = 3.0
SURE = 50.0


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(tiny_processor())


def lessons(kind: str, count: int = 6) -> list[Lesson]:
    teacher = Teacher(rule=ViewConfig().rule(), rng=random.Random(5))
    return [getattr(teacher, kind)() for _ in range(count)]


class Foreteller:
    """A model that knows every next id, but for those that it is told to get wrong."""

    device = torch.device("cpu")

    def __init__(self, vocabulary: int, wrong_ids: frozenset[int] = frozenset()) -> None:
        self._vocabulary, self._wrong_ids = vocabulary, wrong_ids

    def __call__(self, *, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        following = input_ids.roll(-1, dims=1)
        wrong = torch.isin(following, torch.tensor(sorted(self._wrong_ids), dtype=torch.int64))
        # A wrong guess is an id that never follows: the padding's.
        guesses = torch.where(wrong, torch.zeros_like(following), following)
        return SimpleNamespace(logits=torch.nn.functional.one_hot(guesses, self._vocabulary).float() * SURE)


def weights_of(lesson: Lesson) -> list[tuple[int, float]]:
    """Every id that the model should write, and how much it counts; ends of turns included."""
    tokenizer = tiny_processor().tokenizer
    found = []
    for pieces in lesson.replies:
        for piece in pieces:
            ids = tokenizer(piece.text, add_special_tokens=False)["input_ids"]
            found += [(token, piece.weight) for token in ids]
        found.append((tokenizer.eos_token_id, 1.0))
    return found


@pytest.mark.parametrize("kind", ["recital", "question_round", "episode"])
def test_a_model_that_knows_every_word_has_no_loss(kind: str, encoder: Encoder) -> None:
    loss, accuracy = lesson_loss(Foreteller(640), encoder, lessons(kind))  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert accuracy == 1.0


@pytest.mark.parametrize("kind", ["recital", "question_round", "episode"])
def test_a_wrong_word_costs_its_weight(kind: str, encoder: Encoder) -> None:
    taught = lessons(kind)
    pairs = [pair for lesson in taught for pair in weights_of(lesson)]
    for wrong_id in {token for token, _ in pairs}:
        loss, accuracy = lesson_loss(Foreteller(640, frozenset({wrong_id})), encoder, taught)  # type: ignore[arg-type]
        missed = sum(weight for token, weight in pairs if token == wrong_id)
        assert loss.item() == pytest.approx(SURE * missed / sum(weight for _, weight in pairs), rel=1e-4)
        answers = [token for token, weight in pairs if weight == ANSWER_WEIGHT]
        assert accuracy == pytest.approx(1 - answers.count(wrong_id) / len(answers))


@pytest.mark.parametrize("kind", ["recital", "question_round", "episode"])
def test_the_loss_is_the_weighted_cross_entropy_of_a_real_model(kind: str, encoder: Encoder) -> None:
    """Computed again one lesson at a time, by position instead of by mask."""
    model, taught = tiny_model(), lessons(kind, 3)
    total = weight_sum = 0.0
    with torch.no_grad():
        got, _ = lesson_loss(model, encoder, taught)
        for lesson in taught:
            row = encoder.encode(lesson.messages, lesson.picture)
            inputs = {"pixel_values": row.pixel_values, "image_grid_thw": row.image_grid_thw}
            kinds = (row.input_ids == encoder.image_id).long()
            logits = model(input_ids=row.input_ids[None], mm_token_type_ids=kinds[None], **inputs).logits[0]
            places = row.reply_mask.nonzero().flatten().tolist()
            pairs = weights_of(lesson)
            assert [int(row.input_ids[place]) for place in places] == [token for token, _ in pairs]
            for place, (token, weight) in zip(places, pairs, strict=True):
                total -= weight * torch.log_softmax(logits[place - 1], -1)[token].item()
                weight_sum += weight
    assert got.item() == pytest.approx(total / weight_sum, rel=1e-4)


def test_the_loss_reaches_the_whole_model(encoder: Encoder) -> None:
    model = tiny_model()
    loss, _ = lesson_loss(model, encoder, lessons("episode", 3))
    loss.backward()  # type: ignore[no-untyped-call]
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing
