"""Keeps what was computed from a view of a picture, because the same views are asked for again and again.

Eight rollouts of one question look at one picture, and a trainer encodes what an engine has just encoded. Rule:
pictures are told apart by identity, never by their pixels, and what was made from a picture goes with it: nothing is
held for a picture that nobody has any more, and its identity may be another's then. The cache is bounded by bytes: a
view may be 3 kB or 100 MB. What one thread is making another one waits for.
"""

import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from PIL import Image

from visionthink.core.geometry import View

Made = TypeVar("Made")


class _Picture(NamedTuple):
    """A picture of which something is kept, or was."""

    alive: weakref.ref[Image.Image]
    views: set[View]


class ViewCache(Generic[Made]):
    """A least-recently-used cache of `make(picture, view)`; safe to share between threads."""

    def __init__(
        self, make: Callable[[Image.Image, View], Made], *, size_bytes: Callable[[Made], int], max_bytes: int
    ) -> None:
        """Hold at most `max_bytes` of what is made; an entry larger than that is made but not kept.

        `size_bytes` counts a made value.
        """
        self._make = make
        self._size_bytes = size_bytes
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[tuple[int, View], Made] = OrderedDict()
        self._pictures: dict[int, _Picture] = {}
        self._gone: deque[int] = deque()
        """Identities of pictures that ended and whose entries are still to be dropped."""
        self._making: dict[tuple[int, View], Future[Made]] = {}
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """What the kept entries weigh."""
        return self._held_bytes

    def has(self, picture: Image.Image, view: View) -> bool:
        """Whether `get` would return at once."""
        with self._lock:
            self._forget_gone()
            return (id(picture), view) in self._entries

    def get(self, picture: Image.Image, view: View) -> Made:
        """The kept value, one that another thread is making, or a new one."""
        key = (id(picture), view)
        with self._lock:
            self._forget_gone()
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            waited, own = self._making.get(key), Future[Made]()
            if waited is None:
                self._making[key] = own
        return self._made(key, picture, own) if waited is None else waited.result()

    def _made(self, key: tuple[int, View], picture: Image.Image, promise: Future[Made]) -> Made:
        try:
            made = self._make(picture, key[1])
        except BaseException as error:
            with self._lock:
                del self._making[key]
            promise.set_exception(error)
            raise
        with self._lock:
            del self._making[key]
            self._keep(key, picture, made)
        promise.set_result(made)
        return made

    def _keep(self, key: tuple[int, View], picture: Image.Image, made: Made) -> None:
        size = self._size_bytes(made)
        if key in self._entries or size > self._max_bytes:
            return
        if key[0] not in self._pictures:
            self._pictures[key[0]] = _Picture(weakref.ref(picture, partial(self._ended, key[0])), set())
        self._pictures[key[0]].views.add(key[1])
        self._entries[key] = made
        self._held_bytes += size
        while self._held_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _ended(self, identity: int, reference: "weakref.ref[Image.Image]") -> None:
        """A picture's end, which may come in any thread and within any line, this class's own too."""
        del reference
        self._gone.append(identity)
        if self._lock.acquire(blocking=False):  # otherwise whoever holds it is about to keep, or the next one forgets
            try:
                self._forget_gone()
            finally:
                self._lock.release()

    def _forget_gone(self) -> None:
        while self._gone:
            identity = self._gone.popleft()
            for view in self._pictures.pop(identity).views:
                self._held_bytes -= self._size_bytes(self._entries.pop((identity, view)))

    def _drop(self, key: tuple[int, View]) -> None:
        self._held_bytes -= self._size_bytes(self._entries.pop(key))
        self._pictures[key[0]].views.remove(key[1])
