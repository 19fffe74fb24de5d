"""Conversations for the report, cut from the traces of an evaluation.

Rule: the pictures are the views that the model was given, cut again by the one function that cuts them for the model.
"""

from collections.abc import Sequence

from PIL import Image

from visionthink.core.geometry import View
from visionthink.core.message import Message
from visionthink.core.sample import Sample
from visionthink.core.trace import Trace
from visionthink.picture import cut, encode_png
from visionthink.report.record import Example, ShownTurn, ShownView

MAX_SHOWN_SIDE = 768
"""Pixels of the longer side in the report: a larger view is shown smaller, or the file would weigh megabytes."""


def example_of(sample: Sample, trace: Trace, picture: Image.Image, *, answer: str | None, correct: bool) -> Example:
    """Return the whole conversation about a sample; `picture` is its decoded original."""
    return Example(
        question=sample.question.replace("<image>", "").strip(),
        family=sample.family,
        needs_high_res=sample.needs_high_res,
        want=sample.answer,
        got=answer,
        correct=correct,
        visual_tokens=trace.visual_tokens,
        turns=_turns(trace.messages, picture),
    )


def _turns(messages: Sequence[Message], picture: Image.Image) -> tuple[ShownTurn, ...]:
    return tuple(
        ShownTurn(
            speaker=message.role.value,
            text=message.text.strip(),
            views=tuple(_shown(view, picture) for view in message.views),
        )
        for message in messages
    )


def _shown(view: View, picture: Image.Image) -> ShownView:
    seen = cut(picture, view)
    seen.thumbnail((MAX_SHOWN_SIDE, MAX_SHOWN_SIDE))
    return ShownView(
        png=encode_png(seen), width=view.size.width, height=view.size.height, visual_tokens=view.visual_tokens
    )
