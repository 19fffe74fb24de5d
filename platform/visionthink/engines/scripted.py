"""The engine that says what it is told: for tests, demonstrations and the rehearsal of a deployment without a model.

Rule: it keeps every promise that a real engine keeps (order, token limit, counts, failures as events), as the common
contract test shows. What it counts as a token is a word.
"""

from collections.abc import Callable, Iterator, Sequence

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply
from visionthink.engines.engine import Request, Sampling

ScriptLine = str | Event
Script = Sequence[ScriptLine] | Callable[[Request], ScriptLine]


class ScriptedEngine:
    """Replies from a list, one a request in order of arrival, or from a function of the request."""

    def __init__(self, script: Script, *, model: str = "scripted", keeps_requests: bool = True) -> None:
        """Follow `script`; `keeps_requests` off, for long work, remembers none of the requests and their pictures."""
        self._function = script if callable(script) else None
        self._lines: Iterator[ScriptLine] = iter(()) if callable(script) else iter(script)
        self._num_lines = 0 if callable(script) else len(script)
        self._model = model
        self._num_requests = 0
        self._keeps_requests = keeps_requests
        self.requests: list[Request] = []
        """Every request so far, for assertions."""

    @property
    def model(self) -> str:
        """Name of the model that is played."""
        return self._model

    async def reply(self, request: Request) -> Event:
        """The next line; `BackendFailed` once the list has run out."""
        self._num_requests += 1
        if self._keeps_requests:
            self.requests.append(request)
        line = self._function(request) if self._function else next(self._lines, None)
        if line is None:
            told = f"the script of {self._num_lines} replies ran out at request {self._num_requests}; extend it"
            return BackendFailed(error=told, retryable=False)
        return _reply(line, request) if isinstance(line, str) else line

    async def aclose(self) -> None:
        """Nothing to give back."""


def _reply(text: str, request: Request) -> ModelReply:
    num_words = _num_words(text)
    cut, is_cut = _cut(text, request.sampling)
    return ModelReply(
        text=cut,
        finish_reason=FinishReason.LENGTH if is_cut else FinishReason.STOP,
        num_prompt_tokens=sum(
            _num_words(message.text) + sum(view.visual_tokens for view in message.views) for message in request.messages
        ),
        num_reply_tokens=request.sampling.max_tokens if is_cut else num_words + 1,
    )


def _cut(text: str, sampling: Sampling) -> tuple[str, bool]:
    """The first `max_tokens` words; the end of the turn counts as one more, as it does in a real engine."""
    if _num_words(text) < sampling.max_tokens:
        return text, False
    return " ".join(text.split()[: sampling.max_tokens]), True


def _num_words(text: str) -> int:
    return len(text.split())
