"""Keeps what was computed from a view of a picture, because the same views are asked for again and again.

Eight rollouts of one question look at one picture, and a trainer encodes what an engine has just encoded. Rule:
pictures are told apart by identity, never by their pixels, and an entry keeps its picture alive, so an identity cannot
be reused while it is a key. The cache is bounded by bytes, the kept picture's included: a view may be 3 kB or 100 MB,
and a small view may keep a large photograph. What one thread is making another one waits for.
"""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from PIL import Image

from visionthink.core.geometry import View

Made = TypeVar("Made")


class ViewCache(Generic[Made]):
    """A least-recently-used cache of `make(picture, view)`; safe to share between threads."""

    def __init__(
        self, make: Callable[[Image.Image, View], Made], *, size_bytes: Callable[[Made], int], max_bytes: int
    ) -> None:
        """Hold at most `max_bytes`, pictures included; an entry larger than that is made but not kept.

        `size_bytes` counts a made value. A picture is counted with each of its views.
        """
        self._make = make
        self._size_bytes = size_bytes
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[tuple[int, View], tuple[Image.Image, Made]] = OrderedDict()
        self._making: dict[tuple[int, View], Future[Made]] = {}
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """What the kept entries and their pictures weigh."""
        return self._held_bytes

    def get(self, picture: Image.Image, view: View) -> Made:
        """The kept value, one that another thread is making, or a new one."""
        key = (id(picture), view)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][1]
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
        size = self._weight(picture, made)
        if key in self._entries or size > self._max_bytes:
            return
        self._entries[key] = (picture, made)
        self._held_bytes += size
        while self._held_bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._held_bytes -= self._weight(*dropped)

    def _weight(self, picture: Image.Image, made: Made) -> int:
        return self._size_bytes(made) + picture.width * picture.height * len(picture.getbands())
