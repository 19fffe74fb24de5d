"""What a server's completion means, whole or in chunks.

Rule: both are read by the same code, so that a stream says what a whole completion says. A completion without an end is
no reply: the model would have gone on.
"""

from collections.abc import Iterable

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_token_logprob import ChatCompletionTokenLogprob, TopLogprob

from visionthink.core.episode import BackendFailed, FinishReason, ModelReply
from visionthink.core.trace import DrawnToken
from visionthink.errors import EngineError


class Heard:
    """What has come of a completion so far."""

    def __init__(self, model: str) -> None:
        """Nothing yet of `model`."""
        self._model = model
        self._pieces: list[str] = []
        self._tokens: list[DrawnToken] | None = None
        self._reason: str | None = None
        self._usage: CompletionUsage | None = None

    def take(self, completion: ChatCompletion) -> None:
        """Take in a whole completion."""
        self._usage = completion.usage
        for choice in completion.choices[:1]:
            tokens = choice.logprobs.content if choice.logprobs else None
            self._add(choice.message.content, choice.finish_reason, tokens)

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take in a chunk; the text that it brought."""
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            tokens = choice.logprobs.content if choice.logprobs else None
            return self._add(choice.delta.content, choice.finish_reason, tokens)
        return ""

    def _add(self, text: str | None, reason: str | None, tokens: Iterable[ChatCompletionTokenLogprob] | None) -> str:
        self._pieces.append(text or "")
        self._reason = reason or self._reason
        if tokens is not None:
            self._tokens = [*(self._tokens or ()), *map(_drawn, tokens)]
        return text or ""

    def event(self, *, latency_s: float) -> ModelReply | BackendFailed:
        """The reply, or why it is none.

        Raises:
            EngineError: the server takes the model's calls away.
        """
        match self._reason:
            case "stop":
                reason = FinishReason.STOP
            case "length":
                reason = FinishReason.LENGTH
            case "tool_calls" | "function_call":
                raise EngineError(
                    f"model {self._model!r}: the server parsed the tool call itself; switch its tool parser off "
                    "(vLLM: no --enable-auto-tool-choice), the episode reads the text",
                    retryable=False,
                )
            case None:
                return BackendFailed(error=f"model {self._model!r} gave no choice at all, or none that ends")
            case other:
                # A content filter, say: the same request would meet it again.
                told = f"model {self._model!r} ended with {other!r} instead of a reply"
                return BackendFailed(error=told, retryable=False)
        return ModelReply(
            text="".join(self._pieces),
            finish_reason=reason,
            drawn=None if self._tokens is None else tuple(self._tokens),
            num_prompt_tokens=self._usage.prompt_tokens if self._usage else 0,
            num_reply_tokens=self._usage.completion_tokens if self._usage else 0,
            latency_s=latency_s,
        )


def _drawn(token: ChatCompletionTokenLogprob) -> DrawnToken:
    return _told(token, tuple(_told(other) for other in token.top_logprobs or ()))


def _told(token: ChatCompletionTokenLogprob | TopLogprob, others: tuple[DrawnToken, ...] = ()) -> DrawnToken:
    raw = None if token.bytes is None else bytes(token.bytes)
    return DrawnToken(text=token.token, log_prob=token.logprob, raw=raw, likeliest=others)
