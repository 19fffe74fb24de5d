"""What happened in an episode, complete enough to grade, train on, chart and compare it.

Rule: sums are computed from the turns and views, never stored beside them, so they cannot disagree.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from visionthink.core.first_look import LookDecision
from visionthink.core.geometry import Box, View
from visionthink.core.json_value import Json
from visionthink.core.message import Message, message_to_dict, view_to_dict
from visionthink.core.reply import CallReply
from visionthink.errors import EpisodeError


class FinishReason(StrEnum):
    """Why a model stopped writing."""

    STOP = "stop"
    """It ended its turn."""
    LENGTH = "length"
    """It ran into the token limit."""
    ABORTED = "aborted"
    """The engine gave up in mid-reply. What stands there is no reply: the model would have gone on."""


class Signal(StrEnum):
    """What a reply, or its absence, means for the episode."""

    ANSWER = "answer"
    CALL = "call"
    """A call that a tool accepted. Where turns are left its view is shown; else the answer is demanded."""
    BAD_CALL = "bad_call"
    """A call that could not be read or that a tool refused."""
    UNTAGGED = "untagged"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    NO_ROOM = "no_room"
    BACKEND_FAILED = "backend_failed"


class Outcome(StrEnum):
    """How an episode ended."""

    ANSWERED = "answered"
    """With a tagged answer."""
    UNTAGGED = "untagged"
    """With text that has no tag; the whole text is the answer, as for the released judge."""
    TRUNCATED = "truncated"
    """With a reply that was too long; an answer only if it was closed before the limit."""
    EMPTY = "empty"
    """With a blank reply."""
    NO_ANSWER = "no_answer"
    """With one more call when the final answer was demanded."""
    NO_ROOM = "no_room"
    """With a conversation that no longer fits the model's context: what it asked for filled it, so it has no answer."""
    FAILED = "failed"
    """With a failure of the backend; says nothing about the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnToken:
    """A token of a reply, for a client that wants to know how sure the model was."""

    text: str
    log_prob: float
    """Natural logarithm of its probability."""
    raw: bytes | None = None
    """Its bytes, which may be a part of a character; ``None`` when the backend does not tell."""
    likeliest: tuple["DrawnToken", ...] = ()
    """The likeliest tokens at its place, as many as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply:
    """What a model wrote in one turn, and what it cost."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None = None
    """The model's own ids without the end-of-turn token; ``None`` when the backend does not tell."""
    log_probs: tuple[float, ...] | None = None
    """Natural logarithm of each token's probability when it was drawn, one per id; ``None`` when the backend does not
    tell. A trainer of another process than the engine's needs them."""
    drawn: tuple[DrawnToken, ...] | None = None
    """The tokens in the backend's words; ``None`` unless they were asked for."""
    num_prompt_tokens: int = 0
    """Tokens of the whole conversation that was sent, visual ones included."""
    num_reply_tokens: int = 0
    num_visual_tokens: float | None = None
    """Visual tokens of the whole conversation that the language model computed, mean over its layers; ``None`` where it
    drops none, so that it is those of the views."""
    latency_s: float = 0.0
    """Seconds from sending the turn to its last token."""

    def __post_init__(self) -> None:
        """Refuse negative counts, and log-probabilities that belong to no token."""
        self._check_log_probs()
        if min(self.num_prompt_tokens, self.num_reply_tokens) < 0 or not self.latency_s >= 0:
            raise EpisodeError(
                f"a reply cannot cost {self.num_prompt_tokens} prompt tokens, {self.num_reply_tokens} reply tokens and "
                f"{self.latency_s} s; mend the engine's counting"
            )

    def _check_log_probs(self) -> None:
        if self.log_probs is None:
            return
        num_ids = None if self.token_ids is None else len(self.token_ids)
        if len(self.log_probs) != num_ids:
            raise EpisodeError(
                f"a reply has {len(self.log_probs)} log-probabilities for {num_ids or 'no'} token ids; mend the engine"
            )
        if not all(map(math.isfinite, self.log_probs)):
            raise EpisodeError("a log-probability of a drawn token is not finite; mend the engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTrace:
    """One reply and what the episode made of it."""

    turn: int
    """From 1."""
    forced: bool
    """Whether the final answer was demanded in this turn."""
    signal: Signal
    reply: ModelReply
    call: CallReply | None = None
    """The call that was read in the reply, whether or not a tool accepted it; ``None`` without one that can be read."""
    error: str | None = None
    """What was wrong with a bad call."""
    views: tuple[View, ...] = ()
    """What a call was granted: one view, or of several pictures one each."""

    @property
    def view(self) -> View | None:
        """The first of them."""
        return self.views[0] if self.views else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """An episode from its first message to its last reply."""

    turns: tuple[TurnTrace, ...]
    views: tuple[View, ...]
    """Every view shown, the first one of each picture included."""
    messages: tuple[Message, ...]
    """The whole conversation, ending with the model's last reply."""
    first_look: LookDecision | None = None
    """How the first view was chosen; None where nothing was decided: it was fixed, or the shortcut was off."""

    @property
    def views_asked(self) -> tuple[View, ...]:
        """The views shown beyond the first one of each picture."""
        return self.views[len({view.picture for view in self.views}) :]

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of all views, each counted once: a call costs its view on top of the first one."""
        return sum(view.visual_tokens for view in self.views)

    @property
    def visual_tokens_asked(self) -> int:
        """Visual tokens of the views shown beyond the first."""
        return sum(view.visual_tokens for view in self.views_asked)

    @property
    def num_tool_calls(self) -> int:
        """Turns in which the model tried to ask: those that hold a call, valid or not. The reward charges for it."""
        return sum(turn.signal in (Signal.CALL, Signal.BAD_CALL) for turn in self.turns)

    @property
    def num_views_asked(self) -> int:
        """Views shown beyond the first; of one picture, the calls that were granted."""
        return len(self.views_asked)

    @property
    def asked(self) -> bool:
        """Whether a further view was shown at least once. A call that was refused, or came too late, is none."""
        return self.num_views_asked > 0

    @property
    def asked_whole(self) -> bool:
        """Whether one of these views showed the whole picture."""
        return any(view.box is None for view in self.views_asked)

    def asked_right(self, region: Box | None) -> bool | None:
        """Whether a region that was shown beyond the first view holds all of ``region``, where the evidence lies.

        ``None`` when no region was shown, or nobody knows where the evidence lies.
        """
        boxes = [view.box for view in self.views_asked if view.box is not None]
        return any(box.contains(region) for box in boxes) if boxes and region is not None else None

    @property
    def shortcut(self) -> bool:
        """Whether it began with the full view because the model would likely have asked for it."""
        return self.first_look is not None and self.first_look.shortcut

    @property
    def replies(self) -> tuple[str, ...]:
        """The model's texts, in order."""
        return tuple(turn.reply.text for turn in self.turns)

    @property
    def latency_s(self) -> float:
        """Seconds that the model took, all turns together."""
        return sum(turn.reply.latency_s for turn in self.turns)

    @property
    def num_prompt_tokens(self) -> int:
        """Prompt tokens of all turns; a conversation's start is counted in each turn that sends it."""
        return sum(turn.reply.num_prompt_tokens for turn in self.turns)

    @property
    def num_reply_tokens(self) -> int:
        """Tokens that the model wrote, all turns together."""
        return sum(turn.reply.num_reply_tokens for turn in self.turns)

    def to_dict(self) -> dict[str, Json]:
        """The trace and its sums as JSON."""
        return {
            "turns": [_turn_to_dict(turn) for turn in self.turns],
            "views": [view_to_dict(view) for view in self.views],
            "messages": [message_to_dict(message) for message in self.messages],
            "visual_tokens": self.visual_tokens,
            "num_tool_calls": self.num_tool_calls,
            "num_views_asked": self.num_views_asked,
            "first_look": self.first_look.to_dict() if self.first_look else None,
            "num_prompt_tokens": self.num_prompt_tokens,
            "num_reply_tokens": self.num_reply_tokens,
            "latency_s": self.latency_s,
        }


def _turn_to_dict(turn: TurnTrace) -> dict[str, Json]:
    """A turn as JSON; ``views`` stands there where a call was granted several."""
    found: dict[str, Json] = {
        "turn": turn.turn,
        "forced": turn.forced,
        "signal": turn.signal.value,
        "call": {"name": turn.call.name, "arguments": dict(turn.call.arguments)} if turn.call else None,
        "error": turn.error,
        "view": view_to_dict(turn.view) if turn.view else None,
        "reply": turn.reply.text,
        "finish_reason": turn.reply.finish_reason.value,
        "num_prompt_tokens": turn.reply.num_prompt_tokens,
        "num_reply_tokens": turn.reply.num_reply_tokens,
        "latency_s": turn.reply.latency_s,
    }
    return found | {"views": [*map(view_to_dict, turn.views)]} if len(turn.views) > 1 else found
