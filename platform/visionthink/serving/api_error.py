"""Errors as OpenAI's clients expect them.

Rule: every response that is not a success has one body shape, `{"error": {"message", "type", "param", "code"}}`, and
the message says what to do. Statuses: 400 the request makes no sense here, 404 no such model or path, 413 too large,
422 not shaped like a chat request, 500 our bug, 503 the engine cannot answer now, 504 it took too long.
"""

from typing import Final

from fastapi.responses import JSONResponse

_TYPES: Final = {503: "service_unavailable_error", 504: "timeout_error"}


class ApiError(Exception):
    """A request that ends with an error response."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """`code` is for programs, `param` names the field at fault, `retry_after_s` becomes a header."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole response."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        return JSONResponse(self.body(), status_code=self.status, headers=headers)


def no_such_model(name: str, served: str) -> ApiError:
    """The error for a model that is not served here."""
    return ApiError(404, f"the model {name!r} is not served here; {served!r} is", code="model_not_found", param="model")
