"""Conversations for the report: which ones are shown, and how.

Rule: chosen by a rule, never by hand. Each kind of end (asked or not, right or wrong) comes once before one comes
twice, so that the reader sees the mistakes beside the successes.
"""

from collections.abc import Sequence

from PIL import Image

from visionthink.core.episode import Finish
from visionthink.core.message import Message
from visionthink.core.sample import Sample
from visionthink.evaluation.answer import Answer
from visionthink.picture import cut, encode_png
from visionthink.report.record import Example, ShownTurn, ShownView


def choose_examples(answers: Sequence[Answer], count: int) -> list[int]:
    """Indices of `count` answers: the kinds of end take turns, within a kind the families do."""
    kinds: dict[tuple[bool | None, bool, bool], list[int]] = {}
    for index, answer in enumerate(answers):
        if not answer.failed:
            # Needed before not needed, right before wrong; False sorts first.
            kinds.setdefault((answer.needed is not True, not answer.correct, not answer.asked), []).append(index)
    queues = [_families_in_turn(answers, kinds[kind]) for kind in sorted(kinds)]
    rounds = max(map(len, queues), default=0)
    return [queue[place] for place in range(rounds) for queue in queues if place < len(queue)][:count]


def to_example(sample: Sample, picture: Image.Image, finish: Finish, answer: Answer) -> Example:
    """The whole conversation with the views that the model saw."""
    return Example(
        question=sample.question,
        family=answer.family,
        needs_high_res=answer.needed,
        want=answer.want,
        got=finish.answer,
        correct=answer.correct,
        visual_tokens=finish.trace.visual_tokens,
        turns=tuple(_turn(message, picture) for message in finish.trace.messages),
    )


def _families_in_turn(answers: Sequence[Answer], indices: Sequence[int]) -> list[int]:
    seen: dict[str, int] = {}
    places = []
    for index in indices:
        family = answers[index].family
        seen[family] = seen.get(family, 0) + 1
        places.append((seen[family], index))
    return [index for _, index in sorted(places)]


def _turn(message: Message, picture: Image.Image) -> ShownTurn:
    views = tuple(
        ShownView(
            png=encode_png(cut(picture, view)),
            width=view.size.width,
            height=view.size.height,
            visual_tokens=view.visual_tokens,
        )
        for view in message.views
    )
    return ShownTurn(speaker=message.role.value, text=message.text, views=views)
