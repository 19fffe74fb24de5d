"""A board without Ray: heads and workers in one process, with processes that only sleep for their Rays."""

from dataclasses import dataclass, field

from visionthink.errors import BackendError
from visionthink.training.node.board import Board, Node


@dataclass
class Place:
    """What all boards of a job show. A head that was started anew has an empty one."""

    told: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    is_there: bool = True

    def restart(self) -> None:
        self.told, self.is_there = {}, True


class MemoryBoard(Board):
    """A board on a place of this process."""

    def __init__(self, place: Place) -> None:
        super().__init__("127.0.0.1:6379")
        self._place = place

    def nodes(self) -> list[Node]:
        self._look()
        return list(self._place.nodes)

    def _put(self, key: str, value: str) -> None:
        self._look()
        self._place.told[key] = value

    def _get(self, key: str) -> str | None:
        self._look()
        return self._place.told.get(key)

    def _look(self) -> None:
        if not self._place.is_there:
            raise BackendError("there is no head", retryable=True)
