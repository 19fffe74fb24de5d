"""An event loop of its own for what must outlive the caller's.

Rule: pooled connections belong to one event loop. A trainer that calls `asyncio.run` at every step makes and ends a
loop each time; connections that lived in there would be torn and opened again, or worse, be used after their loop is
gone. So they live here, and callers from any loop or thread hand their coroutines over.
"""

import asyncio
from collections.abc import Coroutine
from threading import Lock, Thread
from typing import TypeVar

Result = TypeVar("Result")


class LoopThread:
    """A daemon thread that runs an event loop; it starts with the first coroutine."""

    def __init__(self, *, name: str) -> None:
        """Call the thread `name`."""
        self._name = name
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    async def run(self, work: Coroutine[object, object, Result]) -> Result:
        """What `work` returns or raises; cancelling this cancels `work`."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._started()))

    async def aclose(self) -> None:
        """End the thread and whatever still runs in it. A later `run` starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
