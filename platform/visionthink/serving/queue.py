"""Who is next, when more requests wait than the engine takes.

Rule: first come, first served within a key, and the keys take turns, so that one key's rush makes the others wait for
one of its requests each, and not for all of them. Where there is no room for one more, the longest line gives some up.
This file knows neither time nor tasks.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Waiting items, by key."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()  # the first key is the next one
        self._num_items = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._num_items

    def push(self, key: str, item: Item) -> None:
        """Stand behind the others of `key`."""
        self._lines.setdefault(key, deque()).append(item)
        self._num_items += 1

    def pop(self) -> Item:
        """The next one, whose key is then the last to come again.

        Raises:
            IndexError: nobody waits.
        """
        if not self._lines:
            raise IndexError("nobody waits")
        key, line = self._lines.popitem(last=False)
        item = line.popleft()
        self._num_items -= 1
        if line:
            self._lines[key] = line
        return item

    def drop_for(self, key: str) -> Item | None:
        """The last one of the key that has most waiting, if one more of `key` would still have fewer; it goes."""
        if not self._lines:
            return None
        longest = max(self._lines, key=lambda name: len(self._lines[name]))
        if len(self._lines.get(key, ())) + 1 >= len(self._lines[longest]):
            return None
        item = self._lines[longest].pop()
        self._num_items -= 1
        return item

    def remove(self, key: str, item: Item) -> None:
        """Let `item` go before its turn; what does not wait is no fault."""
        line = self._lines.get(key)
        if line is None or item not in line:
            return
        line.remove(item)
        self._num_items -= 1
        if not line:
            del self._lines[key]
