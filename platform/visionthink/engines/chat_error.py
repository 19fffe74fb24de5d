"""What a chat server's failures mean.

Rule: whatever goes wrong on the way becomes a `ChatError` that says which server, what it answered and whether
trying again later makes sense.
"""

from typing import Final

from visionthink.core.json_value import Json
from visionthink.engines.chat_http import StatusError, StreamError, UnreachableError
from visionthink.errors import BackendError

RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})
"""What a server says that is there, but busy. Every 5xx may pass as well."""
_SERVICE_STATUS: Final = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 410})
_MAX_SHOWN: Final = 300


class ChatError(BackendError):
    """A completion that could not be had."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None) -> None:
        """Keep the HTTP status, None where there was no answer."""
        super().__init__(message, retryable=retryable)
        self.status = status

    @property
    def is_of_service(self) -> bool:
        """Whether no request at all would get another answer: a wrong key, path or model."""
        return self.status in _SERVICE_STATUS


def chat_error(error: Exception, where: str, *, timeout_s: float, tries: int) -> ChatError:
    """What `error` of the server at `where` means after so many tries of `timeout_s` each."""
    tail = f"({tries} tries)"
    match error:
        case TimeoutError():
            return ChatError(f"{where}: no answer within {timeout_s} s {tail}", retryable=True)
        case UnreachableError():
            return ChatError(f"{where}: cannot connect: {str(error)[:_MAX_SHOWN]} {tail}", retryable=True)
        case StatusError():
            return _of_status(error, error.status, f"{where}: HTTP {error.status}", tail)
        case StreamError():
            code = error.body.get("code") if isinstance(error.body, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            return _of_status(error, status, f"{where}: error {status} in the stream", tail)
        case _:
            return ChatError(f"{where}: unreadable answer: {str(error)[:_MAX_SHOWN]} {tail}", retryable=False)


def _of_status(error: StatusError | StreamError, status: int, where: str, tail: str) -> ChatError:
    is_retryable = status >= 500 or status in RETRYABLE_STATUS
    return ChatError(f"{where}: {told(error)} {tail}", retryable=is_retryable, status=status)


def told(error: StatusError | StreamError) -> str:
    """What a server said, whatever the shape of its body: the innermost text there is."""
    body, param = error.body, _param(error.body)
    for key in ("error", "message", "detail", "msg"):
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    text = body if isinstance(body, str) and body.strip() else "no reason given"
    named = f"{text} ({param})" if param is not None and param not in text else text
    return " ".join(named.split())[:_MAX_SHOWN]


def _param(body: Json) -> str | None:
    """The field that a refusal names beside its text."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    param = inner.get("param") if isinstance(inner, dict) else None
    return param if isinstance(param, str) else None


def retry_after_s(error: Exception) -> float | None:
    """Seconds that the server asked to wait; None when it did not, or gave a date (RFC 9110, 10.2.3)."""
    try:
        return float(error.retry_after) if isinstance(error, StatusError) else None
    except ValueError:
        return None
