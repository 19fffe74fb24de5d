"""Keys and quotas at the door.

Rule: who asks is known before anything of a request is read, and what a key may not ask for is refused there. Keys
guard everything under `/v1/`; quotas count questions only. Probes, scrapes and the document are open: they tell nothing
of what is asked, and those who probe have no keys.
"""

import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionthink.serving.api_error import ApiError
from visionthink.serving.auth import Caller, KeyFile, caller_of
from visionthink.serving.quota import Quota, QuotaRule
from visionthink.serving.schema import CHAT_PATH

_GUARDED: Final = "/v1/"
NOBODY: Final = Caller(name="", rule=QuotaRule())
"""Who asks where no keys are needed."""


def caller_name(scope: Scope) -> str:
    """The name of the key that a request brought; empty where none is needed."""
    return str(scope.get("state", {}).get("caller", ""))


class CallerMiddleware:
    """Lets in who has a key, as often as the key may."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyFile | None,
        rule: QuotaRule,
        on_refused: Callable[[ApiError], None],
        on_asked: Callable[[str, frozenset[str]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap `app`. Without `keys` everybody is let in, and `rule` holds for all together.

        `on_asked` is told the key's name of each question, and all names that there are.
        """
        self._app = app
        self._keys = keys
        self._rule = rule
        self._on_refused = on_refused
        self._on_asked = on_asked
        self._clock = clock
        self._quotas: dict[str, Quota] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            caller = self._caller(scope)
        except ApiError as error:
            await self._refuse(error, {"www-authenticate": "Bearer"}, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller.name
        if scope["path"] != CHAT_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        await self._ask(caller, scope, receive, send)

    async def _ask(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        quota = self._quota(caller)
        try:
            quota.begin(self._clock())
        except ApiError as error:
            await self._refuse(error, quota.headers(self._clock()), scope, receive, send)
            return

        async def send_with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(quota.headers(self._clock()))
            await send(message)

        if self._keys is not None:
            self._on_asked(caller.name, self._keys.keys.names)
        try:
            await self._app(scope, receive, send_with_quota)
        finally:
            quota.end()

    def _caller(self, scope: Scope) -> Caller:
        if self._keys is None:
            return Caller(name=NOBODY.name, rule=self._rule)
        keys = self._keys.keys
        caller = caller_of(Headers(scope=scope).get("authorization", ""), keys)
        self._forget(keys.names)
        return caller

    def _quota(self, caller: Caller) -> Quota:
        now_s = self._clock()
        known = self._quotas.get(caller.name)
        quota = Quota(caller.rule, now_s=now_s) if known is None else known.under(caller.rule, now_s=now_s)
        self._quotas[caller.name] = quota
        return quota

    def _forget(self, names: frozenset[str]) -> None:
        """Keys that were taken out of the file, and whose requests have ended."""
        if self._quotas.keys() - names:
            gone = [name for name, quota in self._quotas.items() if name not in names and not quota.num_in_flight]
            for name in gone:
                del self._quotas[name]

    async def _refuse(
        self, error: ApiError, headers: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._on_refused(error)
        response = error.response()
        response.headers.update(headers)
        await response(scope, receive, send)
