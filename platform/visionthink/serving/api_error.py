"""Errors as OpenAI's clients expect them.

Rule: every response that is not a success has one body shape, `{"error": {"message", "type", "param", "code"}}`, and
the message says what to do. Statuses: 400 the request makes no sense here, 401 no valid key, 404 no such model or
path, 408 the upload took too long, 413 too large, 415 compressed, 422 not shaped like a chat request, 429 too many
requests, of this key or of all, 500 our bug, 502 the engine refused what it was asked, 503 the engine is out of order
or the server shuts down, 504 it took too long.
"""

from typing import Final

from fastapi.responses import JSONResponse

from visionthink.core.excerpt import excerpt

_MAX_CHARS: Final = 500
_TYPES: Final = {
    401: "authentication_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """A request that ends with an error response."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        is_final: bool = False,
    ) -> None:
        """`code` is for programs, `param` names the field at fault, `retry_after_s` becomes a header.

        `is_final` tells OpenAI's clients, which repeat every 5xx, that repeating is of no use.
        """
        super().__init__(excerpt(message, _MAX_CHARS))
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.is_final = is_final

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole response."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        if self.is_final:
            headers["x-should-retry"] = "false"
        return JSONResponse(self.body(), status_code=self.status, headers=headers)


def bad_value(message: str, *, param: str) -> ApiError:
    """The error for a field whose value makes no sense here."""
    return ApiError(400, message, code="invalid_value", param=param)


def no_such_model(name: str, served: str) -> ApiError:
    """The error for a model that is not served here."""
    return ApiError(404, f"the model {name!r} is not served here; {served!r} is", code="model_not_found", param="model")


def too_long(detail: str) -> ApiError:
    """The error for a conversation that does not fit the model's context."""
    text = f"the conversation does not fit the model's context ({detail}); shorten it, or ask for fewer tokens"
    return ApiError(400, text, code="context_length_exceeded", param="messages")


def out_of_time(timeout_s: float) -> ApiError:
    """The error for a request whose deadline has passed."""
    return ApiError(504, f"no answer within {timeout_s:g} s; ask for fewer tokens, or try again", code="timeout")


def internal_error(request_id: str) -> ApiError:
    """The error for a bug of ours."""
    return ApiError(500, f"internal error; the log has it under request {request_id}", code="internal_error")
