"""The one loop in which a model looks, may ask for more pixels, and answers.

Rule: this module decides and does nothing else. It reads no clock, opens no picture and calls no model: it hands out a
command, is sent an event, and hands out the next command. Labelling, training, evaluation and serving drive this same
loop, so they cannot take different decisions. States are values: to replay an episode is to send the same events again.

Theory of operation. A *phase* says what an episode waits for; a *signal* says what an event means. The table
``TRANSITIONS`` holds every legal pair; a pair that is missing is a bug of the driver and raises ``EpisodeError``. A
pair leads to the next phase, to an end, or to another ask. Which asking phase follows is the turn budget's choice:

    ASKING     turns are left after this one: a call is granted or complained about, and the model is asked again
    LAST       the budget's last turn: a call is answered with the demand for a final answer
    FORCED     that demand: a call ends the episode without an answer
    DONE       ended by the model's reply, or by a context that is full; accepts nothing
    FAILED     ended by the backend, which gave no reply or broke off in the middle of one; accepts nothing

So an episode asks at most ``max_turns + 1`` times.
Source: VisionThink 3.2 for the two turns; the forced answer is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias, assert_never

from visionthink.core.first_look import LookDecision
from visionthink.core.geometry import Size, View, ViewRule, full_view, quarter_view
from visionthink.core.message import Message, Role, TextPart
from visionthink.core.protocol import Protocol
from visionthink.core.reply import (
    AnswerReply,
    BadCallReply,
    CallReply,
    EmptyReply,
    UntaggedReply,
    closed_answer,
    parse_reply,
)
from visionthink.core.tool import Look, ToolBox
from visionthink.core.trace import FinishReason, ModelReply, Outcome, Signal, Trace, TurnTrace
from visionthink.errors import ConfigError, EpisodeError, ToolArgumentError

__all__ = [
    "TRANSITIONS",
    "Action",
    "AskModel",
    "BackendFailed",
    "Command",
    "EpisodeSpec",
    "EpisodeState",
    "Event",
    "Finish",
    "FinishReason",
    "FirstView",
    "ModelReply",
    "NoRoom",
    "Outcome",
    "Phase",
    "Signal",
    "Step",
    "Trace",
    "TurnTrace",
    "advance",
    "full_views",
    "start",
]

FirstView: TypeAlias = Literal["quarter", "full"]
"""Which view an episode starts with."""


class Phase(StrEnum):
    """What an episode waits for; see the module."""

    ASKING = "asking"
    LAST = "last"
    FORCED = "forced"
    DONE = "done"
    FAILED = "failed"


class Action(StrEnum):
    """What the model is told before it is asked again."""

    SHOW_VIEW = "show_view"
    TELL_ERROR = "tell_error"
    FORCE_ANSWER = "force_answer"


_ENDINGS: Mapping[Signal, Outcome] = {
    Signal.ANSWER: Outcome.ANSWERED,
    Signal.UNTAGGED: Outcome.UNTAGGED,
    Signal.EMPTY: Outcome.EMPTY,
    Signal.TRUNCATED: Outcome.TRUNCATED,
    Signal.NO_ROOM: Outcome.NO_ROOM,
    Signal.BACKEND_FAILED: Outcome.FAILED,
}

TRANSITIONS: Mapping[Phase, Mapping[Signal, Outcome | Action]] = {
    Phase.ASKING: {**_ENDINGS, Signal.CALL: Action.SHOW_VIEW, Signal.BAD_CALL: Action.TELL_ERROR},
    Phase.LAST: {**_ENDINGS, Signal.CALL: Action.FORCE_ANSWER, Signal.BAD_CALL: Action.FORCE_ANSWER},
    Phase.FORCED: {**_ENDINGS, Signal.CALL: Outcome.NO_ANSWER, Signal.BAD_CALL: Outcome.NO_ANSWER},
    Phase.DONE: {},
    Phase.FAILED: {},
}
"""Every legal pair of phase and signal, and what it leads to: an end, or another ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSpec:
    """All that an episode is decided by, besides the model's replies."""

    question: str
    original: Size
    """Size of the picture with its EXIF orientation applied."""
    protocol: Protocol
    toolbox: ToolBox
    rule: ViewRule
    first_view: FirstView | View = "quarter"
    """A view of each picture by its name, or any view of a single picture."""
    max_turns: int = 2
    """Turns in which a call is possible; one more is asked when the last of them is a call. A protocol without tools
    has a single turn, whatever stands here."""
    first_look: LookDecision | None = None
    """How `first_view` was chosen, for the trace; None where nothing was decided."""
    further_originals: tuple[Size, ...] = ()
    """Sizes of the second picture and those behind it, where the question is about several."""

    def __post_init__(self) -> None:
        """Refuse settings with which no episode makes sense."""
        if self.max_turns < 1:
            raise ConfigError(f"max_turns must be at least 1, got {self.max_turns}")
        if self.protocol.offers_tools and not len(self.toolbox):
            raise ConfigError(
                f"protocol {self.protocol.name!r} offers tools, but the tool box is empty; register one or choose a "
                "general protocol"
            )
        if isinstance(self.first_view, View) and self.further_originals:
            raise ConfigError("a first view of one picture cannot begin a question about several; name it instead")

    @property
    def originals(self) -> tuple[Size, ...]:
        """Sizes of all pictures, in the order of their numbers in views."""
        return (self.original, *self.further_originals)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFailed:
    """The event that no reply will come."""

    error: str
    """What failed, for the log."""
    retryable: bool = True
    """Whether the same request may get a reply when it is sent again; False when the request itself was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """The event that the conversation and a reply no longer fit the model's context."""

    error: str
    """The counts, for the log."""


Event: TypeAlias = ModelReply | BackendFailed | NoRoom


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """The command to send the conversation to the model."""

    messages: tuple[Message, ...]
    turn: int
    """From 1."""
    forced: bool
    """Whether the final answer is demanded. A server may stream such a turn: no call will be honoured in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The episode is over."""

    outcome: Outcome
    answer: str | None
    """What a judge should grade; ``None`` when the model gave nothing to grade."""
    trace: Trace
    error: str | None = None
    """What failed, when the outcome is ``FAILED``; what did not fit, when it is ``NO_ROOM``."""
    retryable: bool = False
    """Whether a failed episode may come off when it is held again."""


Command: TypeAlias = AskModel | Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeState:
    """Where an episode stands. Keep it and hand it back; only this module looks inside."""

    spec: EpisodeSpec
    phase: Phase
    messages: tuple[Message, ...]
    views: tuple[View, ...]
    turns: tuple[TurnTrace, ...] = ()


class Step(NamedTuple):
    """The state after an event, and what to do next."""

    state: EpisodeState
    command: Command


class _Reading(NamedTuple):
    """What an event means."""

    signal: Signal
    answer: str | None = None
    error: str | None = None
    call: CallReply | None = None
    views: tuple[View, ...] = ()
    retryable: bool = False


def start(spec: EpisodeSpec) -> Step:
    """Begin an episode; the command is the first ask.

    Raises:
        DataError: no view of a picture is possible, or the question has not one image marker per picture.
    """
    views = _first_views(spec)
    state = EpisodeState(
        spec=spec,
        phase=_asking_phase(spec, turn=1),
        messages=spec.protocol.first_messages(spec.question, views, spec.toolbox),
        views=views,
    )
    return Step(state, _ask(state))


def advance(state: EpisodeState, event: Event) -> Step:
    """Take in the reply to the last ask, or its failure.

    Returns the next ask, or ``Finish`` once. ``state`` is not changed, so the same call gives the same step again.

    Raises:
        EpisodeError: the episode is over, or ``event`` is none. No event makes an ended episode go on.
    """
    if not isinstance(event, ModelReply | BackendFailed | NoRoom):
        raise EpisodeError(f"an episode takes a ModelReply, NoRoom or BackendFailed, not {type(event).__name__}")
    if not TRANSITIONS[state.phase]:
        raise EpisodeError(f"an episode that is {state.phase.value} was sent a {type(event).__name__}; start a new one")
    reading = _read(state, event)
    target = TRANSITIONS[state.phase][reading.signal]
    if isinstance(event, ModelReply) and reading.signal is not Signal.BACKEND_FAILED:
        granted = reading.views if target is Action.SHOW_VIEW else ()
        state = _with_reply(state, event, reading._replace(views=granted))
    if isinstance(target, Outcome):
        return _finish(state, target, reading)
    return _ask_again(state, target, reading)


def full_views(spec: EpisodeSpec) -> tuple[View, ...]:
    """The full view of each picture.

    Raises:
        DataError: a picture has none.
    """
    return _each(spec, full_view)


def _first_views(spec: EpisodeSpec) -> tuple[View, ...]:
    match spec.first_view:
        case View() as view:
            return (view,)
        case "quarter":
            return _each(spec, quarter_view)
        case "full":
            return _each(spec, full_view)
        case _:
            assert_never(spec.first_view)


def _each(spec: EpisodeSpec, view: Callable[[Size, ViewRule], View]) -> tuple[View, ...]:
    return tuple(replace(view(original, spec.rule), picture=number) for number, original in enumerate(spec.originals))


def _asking_phase(spec: EpisodeSpec, turn: int) -> Phase:
    return Phase.ASKING if spec.protocol.offers_tools and turn < spec.max_turns else Phase.LAST


def _ask(state: EpisodeState) -> AskModel:
    return AskModel(messages=state.messages, turn=len(state.turns) + 1, forced=state.phase is Phase.FORCED)


def _read(state: EpisodeState, event: Event) -> _Reading:
    if isinstance(event, BackendFailed):
        return _Reading(Signal.BACKEND_FAILED, error=event.error, retryable=event.retryable)
    if isinstance(event, NoRoom):
        return _Reading(Signal.NO_ROOM, error=event.error)
    if event.finish_reason is FinishReason.ABORTED:
        # Half a reply says nothing of what the model would have done; it is not read, graded or kept.
        return _Reading(Signal.BACKEND_FAILED, error="the engine gave up in mid-reply", retryable=True)
    reply = parse_reply(event.text)
    if isinstance(reply, EmptyReply):
        return _Reading(Signal.EMPTY)
    if event.finish_reason is FinishReason.LENGTH:
        return _Reading(Signal.TRUNCATED, answer=closed_answer(event.text))
    match reply:
        case AnswerReply():
            return _Reading(Signal.ANSWER, answer=reply.answer)
        case UntaggedReply():
            return _Reading(Signal.UNTAGGED, answer=reply.text)
        case BadCallReply():
            return _Reading(Signal.BAD_CALL, error=reply.error)
        case CallReply():
            return _read_call(state, reply)
        case _:
            assert_never(reply)


def _read_call(state: EpisodeState, call: CallReply) -> _Reading:
    spec = state.spec
    toolbox = spec.toolbox if spec.protocol.offers_tools else ToolBox()
    looks = [
        Look(original=original, rule=spec.rule, views=state.views, picture=number)
        for number, original in enumerate(spec.originals)
    ]
    try:
        return _Reading(Signal.CALL, call=call, views=toolbox.views(call.name, call.arguments, looks))
    except ToolArgumentError as error:
        return _Reading(Signal.BAD_CALL, call=call, error=str(error))


def _with_reply(state: EpisodeState, reply: ModelReply, reading: _Reading) -> EpisodeState:
    turn = TurnTrace(
        turn=len(state.turns) + 1,
        forced=state.phase is Phase.FORCED,
        signal=reading.signal,
        reply=reply,
        call=reading.call,
        error=reading.error,
        views=reading.views,
    )
    message = Message(role=Role.ASSISTANT, parts=(TextPart(text=reply.text),), token_ids=reply.token_ids)
    return replace(state, turns=(*state.turns, turn), messages=(*state.messages, message))


def _finish(state: EpisodeState, outcome: Outcome, reading: _Reading) -> Step:
    is_failed = outcome is Outcome.FAILED
    state = replace(state, phase=Phase.FAILED if is_failed else Phase.DONE)
    trace = Trace(turns=state.turns, views=state.views, messages=state.messages, first_look=state.spec.first_look)
    answer = None if outcome is Outcome.NO_ANSWER else reading.answer
    error = reading.error if is_failed or outcome is Outcome.NO_ROOM else None
    return Step(state, Finish(outcome=outcome, answer=answer, trace=trace, error=error, retryable=reading.retryable))


def _ask_again(state: EpisodeState, action: Action, reading: _Reading) -> Step:
    phase = _asking_phase(state.spec, turn=len(state.turns) + 1)
    views = state.views
    match action:
        case Action.SHOW_VIEW:
            assert reading.views and reading.call, "a call is only read as one when a tool gave a view"
            words = state.spec.toolbox.told(reading.call.name)
            number = len(views) + 1
            told = state.spec.protocol.tool_result_message(reading.views, number=number, told=words)
            views = (*views, *reading.views)
        case Action.TELL_ERROR:
            told = state.spec.protocol.tool_error_message(reading.error or "")
        case Action.FORCE_ANSWER:
            phase, told = Phase.FORCED, state.spec.protocol.force_answer_message()
        case _:
            assert_never(action)
    state = replace(state, phase=phase, views=views, messages=(*state.messages, told))
    return Step(state, _ask(state))
