"""A question without a picture: one plain turn.

Rule: the core's episode is about views, so where there is nothing to look at there is no episode: the model is asked
once, in the words of the protocol without tools, and its reply is read by the core's own parser.
"""

from typing import assert_never

from PIL import Image

from visionthink.core.episode import BackendFailed, Event, Finish, FinishReason, ModelReply, NoRoom, Outcome, Signal
from visionthink.core.message import IMAGE_MARKER, Message, Role, TextPart
from visionthink.core.protocol import Protocol, rendered_tools
from visionthink.core.reply import (
    AnswerReply,
    BadCallReply,
    CallReply,
    EmptyReply,
    UntaggedReply,
    closed_answer,
    parse_reply,
)
from visionthink.core.tool import ToolBox
from visionthink.core.trace import Trace, TurnTrace
from visionthink.engines.engine import Engine, Request, Sampling


async def run_plain(
    engine: Engine, messages: tuple[Message, ...], sampling: Sampling, *, session: str | None = None
) -> Finish:
    """The end of one plain turn, asked as `plain_messages` says.

    Raises:
        EngineError: the engine cannot answer anything before somebody mends something.
    """
    unseen = Image.new("RGB", (1, 1))  # no view of it is shown
    request = Request(messages=messages, picture=unseen, sampling=sampling, session=session)
    return plain_finish(messages, await engine.reply(request))


def plain_messages(protocol: Protocol, question: str) -> tuple[Message, ...]:
    """What the model is asked."""
    text = protocol.user.replace(IMAGE_MARKER, "").replace("{question}", question)
    user = Message(role=Role.USER, parts=(TextPart(text=text),))
    if protocol.system is None:
        return (user,)
    system = protocol.system.replace("{tools}", rendered_tools(ToolBox()))
    return (Message(role=Role.SYSTEM, parts=(TextPart(text=system),)), user)


def plain_finish(messages: tuple[Message, ...], event: Event) -> Finish:
    """The end to which `event` brings the conversation."""
    unheard = Trace(turns=(), views=(), messages=messages)
    match event:
        case BackendFailed():
            return Finish(
                outcome=Outcome.FAILED, answer=None, trace=unheard, error=event.error, retryable=event.retryable
            )
        case NoRoom():
            return Finish(outcome=Outcome.NO_ROOM, answer=None, trace=unheard, error=event.error)
        case ModelReply(finish_reason=FinishReason.ABORTED):  # half a reply is none, as in an episode
            told = "the engine gave up in mid-reply"
            return Finish(outcome=Outcome.FAILED, answer=None, trace=unheard, error=told, retryable=True)
        case ModelReply():
            return _read(messages, event)
        case _:
            assert_never(event)


def _read(messages: tuple[Message, ...], reply: ModelReply) -> Finish:
    signal, outcome, answer = _meaning(reply)
    said = Message(role=Role.ASSISTANT, parts=(TextPart(text=reply.text),), token_ids=reply.token_ids)
    turn = TurnTrace(turn=1, forced=False, signal=signal, reply=reply)
    return Finish(outcome=outcome, answer=answer, trace=Trace(turns=(turn,), views=(), messages=(*messages, said)))


def _meaning(reply: ModelReply) -> tuple[Signal, Outcome, str | None]:
    read = parse_reply(reply.text)
    if isinstance(read, EmptyReply):
        return Signal.EMPTY, Outcome.EMPTY, None
    if reply.finish_reason is FinishReason.LENGTH:
        return Signal.TRUNCATED, Outcome.TRUNCATED, closed_answer(reply.text)
    match read:
        case AnswerReply():
            return Signal.ANSWER, Outcome.ANSWERED, read.answer
        case UntaggedReply():
            return Signal.UNTAGGED, Outcome.UNTAGGED, read.text
        case CallReply() | BadCallReply():
            return Signal.BAD_CALL, Outcome.NO_ANSWER, None
        case _:
            assert_never(read)
