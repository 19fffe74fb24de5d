"""A scripted engine that hands its replies out piece by piece, and may be held between two pieces."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from visionthink.core.episode import Event, ModelReply, NoRoom
from visionthink.engines import Request, ScriptedEngine, ScriptLine

_PIECE = re.compile(r".{1,3}", re.DOTALL)


class StreamingEngine(ScriptedEngine):
    """Speaks its script three letters at a time."""

    def __init__(self, script: Sequence[ScriptLine] | Callable[[Request], ScriptLine]) -> None:
        super().__init__(script)
        self.num_closed = 0
        """Streams that were read to their end or left."""

    async def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        try:
            event = await self.reply(request)
            if isinstance(event, ModelReply):
                for piece in _PIECE.findall(event.text):
                    await self.between(request)
                    yield piece
            yield event
        finally:
            self.num_closed += 1

    async def between(self, request: Request) -> None:
        """Before each piece."""
        await asyncio.sleep(0)


class FullEngine(ScriptedEngine):
    """A model whose context is full from the turn `num_turns` on."""

    def __init__(self, script: Sequence[ScriptLine], *, num_turns: int = 1) -> None:
        full = NoRoom(error="5621 prompt tokens and 40 reply tokens of 4096")
        super().__init__([*script[: num_turns - 1], full])
