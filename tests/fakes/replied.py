"""A trace of given replies, each read as an episode reads it, without an episode's say in what may follow what."""

from collections.abc import Sequence

from visionthink.core import (
    AnswerReply,
    BadCallReply,
    CallReply,
    FinishReason,
    Look,
    ModelReply,
    ResizeImage,
    Signal,
    Size,
    ToolBox,
    Trace,
    TurnTrace,
    ViewRule,
    parse_reply,
    quarter_view,
)
from visionthink.errors import ToolArgumentError

ORIGINAL = Size(width=1024, height=768)
RULE = ViewRule()
TOOLBOX = ToolBox([ResizeImage()])


def replied(replies: Sequence[str], toolbox: ToolBox = TOOLBOX) -> Trace:
    """The trace in which the model wrote `replies`."""
    turns = tuple(
        TurnTrace(
            turn=number,
            forced=False,
            signal=_signal(text, toolbox),
            reply=ModelReply(text=text, finish_reason=FinishReason.STOP),
        )
        for number, text in enumerate(replies, start=1)
    )
    return Trace(turns=turns, views=(quarter_view(ORIGINAL, RULE),), messages=())


def _signal(text: str, toolbox: ToolBox) -> Signal:
    reply = parse_reply(text)
    if isinstance(reply, CallReply):
        look = Look(original=ORIGINAL, rule=RULE, views=(quarter_view(ORIGINAL, RULE),))
        try:
            toolbox.view(reply.name, reply.arguments, look)
        except ToolArgumentError:
            return Signal.BAD_CALL
        return Signal.CALL
    if isinstance(reply, BadCallReply):
        return Signal.BAD_CALL
    return Signal.ANSWER if isinstance(reply, AnswerReply) else Signal.UNTAGGED
