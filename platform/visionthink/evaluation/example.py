"""Conversations for the report: which ones are shown, and how.

Rule: chosen by a rule, never by hand. Each kind of end (asked or not, right or wrong) comes once before one comes
twice, so that the reader sees the mistakes beside the successes.
"""

import json
from collections.abc import Sequence

from PIL import Image

from visionthink.core.episode import Finish, TurnTrace
from visionthink.core.message import Message, Role
from visionthink.evaluation.answer import Answer
from visionthink.report import Example, ShownTurn, shown_views


def choose_examples(answers: Sequence[Answer], count: int) -> list[int]:
    """Indices of `count` answers: the kinds of end take turns, within a kind the families do."""
    kinds: dict[tuple[bool | None, bool, bool], list[int]] = {}
    for index, answer in enumerate(answers):
        if not answer.failed:
            # Needed before not needed, right before wrong; False sorts first.
            kinds.setdefault((answer.needed is not True, answer.score < 1, not answer.asked), []).append(index)
    queues = [_families_in_turn(answers, kinds[kind]) for kind in sorted(kinds)]
    rounds = max(map(len, queues), default=0)
    return [queue[place] for place in range(rounds) for queue in queues if place < len(queue)][:count]


def to_example(question: str, picture: Image.Image, finish: Finish, answer: Answer, *, max_view_bytes: int) -> Example:
    """The whole conversation with the views that the model saw, none of more than `max_view_bytes`."""
    return Example(
        question=question,
        family=answer.family,
        needs_high_res=answer.needed,
        want=answer.want,
        got=finish.answer,
        score=answer.score,
        visual_tokens=answer.visual_tokens,
        turns=_turns(picture, finish, max_view_bytes),
    )


def num_views(finish: Finish) -> int:
    """How many pictures an example of this episode shows."""
    return sum(len(message.views) for message in finish.trace.messages)


def _turns(picture: Image.Image, finish: Finish, max_view_bytes: int) -> tuple[ShownTurn, ...]:
    """The messages; what the model wrote stands with what the episode made of it."""
    messages = finish.trace.messages
    replies = iter(finish.trace.turns)
    numbers = _turn_numbers(messages)
    shown = iter(
        shown_views(
            [(view, number) for message, number in zip(messages, numbers, strict=True) for view in message.views],
            picture,
            max_bytes=max_view_bytes,
        )
    )
    return tuple(
        ShownTurn(
            speaker=message.role.value,
            text=message.text,
            views=tuple(next(shown) for _ in message.views),
            note=_note(next(replies, None)) if message.role is Role.ASSISTANT else "",
        )
        for message in messages
    )


def _turn_numbers(messages: Sequence[Message]) -> list[int]:
    """The turn, from 1, that each message belongs to: a question and the reply to it are one."""
    numbers, number = [], 1
    for message in messages:
        numbers.append(number)
        number += message.role is Role.ASSISTANT
    return numbers


def _note(turn: TurnTrace | None) -> str:
    """What became of a reply: a call that was granted or refused, with what it asked for."""
    if turn is None or (turn.view is None and turn.error is None):
        return ""
    call = "call" if turn.call is None else f"{turn.call.name} {json.dumps(dict(turn.call.arguments))}"
    if turn.view is None:
        return f"{call} refused: {turn.error}"
    size, box = turn.view.size, turn.view.box
    what = "the whole picture" if box is None else f"({box.left}, {box.top}) to ({box.right}, {box.bottom})"
    return f"{call} granted: {what} at {size.width} x {size.height} pixels"


def _families_in_turn(answers: Sequence[Answer], indices: Sequence[int]) -> list[int]:
    seen: dict[str, int] = {}
    places = []
    for index in indices:
        family = answers[index].family
        seen[family] = seen.get(family, 0) + 1
        places.append((seen[family], index))
    return [index for _, index in sorted(places)]
