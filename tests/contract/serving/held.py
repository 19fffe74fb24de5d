"""An engine whose replies are held back until a test lets them go, and what questions to it look like over HTTP."""

import asyncio
import json
from collections.abc import Callable

import httpx
from tests.contract.serving.served import ANSWER, Served

from visionthink.core.episode import Event
from visionthink.engines import Request, ScriptedEngine

BODY = json.dumps({"model": "tiny-v1", "messages": [{"role": "user", "content": "hello"}]}).encode()


class Held(ScriptedEngine):
    """Answers one waiting question each time that it is told to, first come, first served."""

    def __init__(self) -> None:
        super().__init__(lambda request: ANSWER)
        self.asked: list[str] = []
        """The questions, as they came."""
        self.num_cancelled = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def reply(self, request: Request) -> Event:
        self.asked.append(request.messages[-1].text)
        gate = asyncio.Event()
        self._waiting.append((asyncio.get_running_loop(), gate))
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return await super().reply(request)

    def let_go(self) -> None:
        """One more question is answered. May be called from another thread."""
        loop, gate = self._waiting.pop(0)
        loop.call_soon_threadsafe(gate.set)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def post(
    client: httpx.AsyncClient, served: Served, text: str = "hello", key: str = "", **fields: object
) -> httpx.Response:
    body = {"model": "tiny-v1", "messages": [{"role": "user", "content": text}], **fields}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await client.post(f"{served.url}/v1/chat/completions", json=body, headers=headers)
