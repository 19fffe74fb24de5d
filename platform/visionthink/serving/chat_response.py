"""The answer of an episode as OpenAI's chat completion, whole or in chunks.

Rule: the standard fields mean what OpenAI says they mean (`content` is the final reply as the model wrote it, `usage`
the sum over all turns), and what is ours stands in one vendor field, `adaptive`, in the same shape both ways.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from visionthink.core.episode import Finish, FinishReason, Outcome
from visionthink.core.json_value import Json
from visionthink.core.message import view_to_dict
from visionthink.core.trace import DrawnToken
from visionthink.episodes.prompting import ViewPolicy

STREAM_END: Final = "data: [DONE]\n\n"
STREAM_WAIT: Final = ": working\n\n"  # a comment in the event stream: keeps proxies from closing an idle connection
_PIECE: Final = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every chunk of one response repeats."""

    request_id: str
    model: str
    created_s: int
    """Unix time."""

    def fields(self, kind: str) -> dict[str, Json]:
        """The repeated fields of an object of `kind`."""
        return {"id": f"chatcmpl-{self.request_id}", "object": kind, "created": self.created_s, "model": self.model}


def completion(
    heading: Heading, finishes: Sequence[Finish], policy: ViewPolicy, *, with_log_probs: bool
) -> dict[str, Json]:
    """The body of a response that is not streamed. One answer's `adaptive` stands beside it, several have their own."""
    choices = [_whole(index, finish, with_log_probs=with_log_probs) for index, finish in enumerate(finishes)]
    told: list[dict[str, Json]] = [{"adaptive": adaptive(finish, policy)} for finish in finishes]
    is_alone = len(finishes) == 1
    return {
        **heading.fields("chat.completion"),
        "choices": [choice if is_alone else {**choice, **own} for choice, own in zip(choices, told, strict=True)],
        "usage": _usage(finishes),
        **(told[0] if is_alone else {}),
    }


def first_chunk(heading: Heading, index: int, *, with_usage: bool) -> str:
    """The chunk that opens the assistant's message of a choice."""
    return _chunk(heading, index, {"role": "assistant", "content": ""}, with_usage=with_usage)


def text_chunk(heading: Heading, index: int, text: str, *, with_usage: bool) -> str:
    """A piece of an answer."""
    return _chunk(heading, index, {"content": text}, with_usage=with_usage)


def last_chunks(
    heading: Heading,
    index: int,
    finish: Finish,
    policy: ViewPolicy,
    *,
    num_flowed: int,
    with_log_probs: bool,
    with_usage: bool,
) -> Iterator[str]:
    """What is left of a choice's final reply, word by word, and the end with all that is told of it."""
    for piece in _PIECE.findall(_content(finish)[num_flowed:]):
        yield text_chunk(heading, index, piece, with_usage=with_usage)
    yield _chunk(
        heading,
        index,
        {},
        with_usage=with_usage,
        reason=_finish_reason(finish),
        log_probs=_log_probs(finish) if with_log_probs else None,
        extra={"adaptive": adaptive(finish, policy)},
    )


def usage_chunk(heading: Heading, finishes: Sequence[Finish]) -> str:
    """The chunk behind the last choice's end."""
    return _event({**heading.fields("chat.completion.chunk"), "choices": [], "usage": _usage(finishes)})


def error_chunk(body: Json) -> str:
    """An error after the response has begun; OpenAI's clients raise it."""
    return _event(body)


def adaptive(finish: Finish, policy: ViewPolicy) -> dict[str, Json]:
    """The vendor field: how the loop came to its answer."""
    trace = finish.trace
    return {
        "policy": policy,
        "outcome": finish.outcome.value,
        "answer": finish.answer,
        "error": finish.error,
        "first_look": trace.first_look.to_dict() if trace.first_look else None,
        "resized": trace.asked,
        "turns": len(trace.turns),
        "views": [view_to_dict(view) for view in trace.views],
        "visual_tokens": trace.visual_tokens,
        "latency_s": trace.latency_s,
        "trace": trace.to_dict()["turns"],
    }


def _content(finish: Finish) -> str:
    # Where the context was full before the answer, the last reply is the call that filled it, and no answer.
    has_answer = finish.trace.replies and finish.outcome is not Outcome.NO_ROOM
    return finish.trace.replies[-1] if has_answer else ""


def _finish_reason(finish: Finish) -> str:
    turns = finish.trace.turns
    if finish.outcome is Outcome.NO_ROOM:
        return "length"
    return "length" if turns and turns[-1].reply.finish_reason is FinishReason.LENGTH else "stop"


def _whole(index: int, finish: Finish, *, with_log_probs: bool) -> dict[str, Json]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": _content(finish)},
        "logprobs": _log_probs(finish) if with_log_probs else None,
        "finish_reason": _finish_reason(finish),
    }


def _log_probs(finish: Finish) -> dict[str, Json]:
    """Of the final reply."""
    has_answer = finish.trace.turns and finish.outcome is not Outcome.NO_ROOM
    drawn = finish.trace.turns[-1].reply.drawn if has_answer else None
    return {"content": [{**_token(one), "top_logprobs": [*map(_token, one.likeliest)]} for one in drawn or ()]}


def _token(token: DrawnToken) -> dict[str, Json]:
    raw: Json = None if token.raw is None else [*token.raw]
    return {"token": token.text, "logprob": token.log_prob, "bytes": raw}


def _usage(finishes: Sequence[Finish]) -> dict[str, Json]:
    prompt = sum(finish.trace.num_prompt_tokens for finish in finishes)
    reply = sum(finish.trace.num_reply_tokens for finish in finishes)
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def _chunk(
    heading: Heading,
    index: int,
    delta: dict[str, Json],
    *,
    with_usage: bool,
    reason: str | None = None,
    log_probs: Json = None,
    extra: dict[str, Json] | None = None,
) -> str:
    choice: Json = {"index": index, "delta": delta, "logprobs": log_probs, "finish_reason": reason}
    body = {**heading.fields("chat.completion.chunk"), "choices": [choice], **(extra or {})}
    return _event({**body, "usage": None} if with_usage else body)


def _event(body: Json) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
