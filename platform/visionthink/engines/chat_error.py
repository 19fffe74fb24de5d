"""What a chat server's failures mean.

Rule: every exception of the `openai` package becomes a `ChatError` that says which server, what it answered and whether
trying again later makes sense.
"""

from typing import Final

import openai

from visionthink.errors import BackendError

RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})
"""What a server says that is there, but busy. Every 5xx may pass as well."""
_SERVICE_STATUS: Final = frozenset({401, 403, 404, 405, 410})
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
        case openai.APITimeoutError() | TimeoutError():
            return ChatError(f"{where}: no answer within {timeout_s} s {tail}", retryable=True)
        case openai.APIConnectionError():
            reason = str(error.__cause__ or error)[:_MAX_SHOWN]
            return ChatError(f"{where}: cannot connect: {reason} {tail}", retryable=True)
        case openai.APIStatusError():
            return _of_status(error, error.status_code, f"{where}: HTTP {error.status_code}", tail)
        case openai.APIError() if type(error) is openai.APIError:  # an error in a stream, behind its status 200
            code = error.body.get("code") if isinstance(error.body, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            return _of_status(error, status, f"{where}: error {status} in the stream", tail)
        case _:
            return ChatError(f"{where}: unreadable answer: {str(error)[:_MAX_SHOWN]} {tail}", retryable=False)


def _of_status(error: openai.APIError, status: int, where: str, tail: str) -> ChatError:
    is_retryable = status >= 500 or status in RETRYABLE_STATUS
    return ChatError(f"{where}: {told(error)} {tail}", retryable=is_retryable, status=status)


def told(error: openai.APIError) -> str:
    """What a server said, whatever the shape of its body: the innermost text there is."""
    body: object = error.body
    for key in ("error", "message", "detail", "msg"):
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    text = body if isinstance(body, str) and body.strip() else error.message
    param = error.body.get("param") if isinstance(error.body, dict) else None
    named = f"{text} ({param})" if isinstance(param, str) and param not in text else text
    return " ".join(named.split())[:_MAX_SHOWN]


def retry_after_s(error: Exception) -> float | None:
    """Seconds that the server asked to wait; None when it did not, or gave a date (RFC 9110, 10.2.3)."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
