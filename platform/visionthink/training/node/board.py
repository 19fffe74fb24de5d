"""What the nodes of a job tell each other, kept in the head's Ray.

Rule: a board lives as long as one head. A head that was started anew has an empty one, and a name of its own in it, so
nothing that an earlier try told can be taken for the present one's.

Ray's own client of its control service is used, as Ray's command line does: to be a driver of the cluster would end
this process along with the head (Ray ends drivers whose cluster is gone), and this process is to survive it.
"""

import contextlib
import socket
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple

from visionthink.errors import BackendError

_SPACE: Final = b"visionthink"
_SESSION: Final = "session"
_OUTCOME: Final = "outcome"
_STOPPING: Final = "stopping"
_SEEN: Final = "seen"
_CALL_S: Final = 3.0
_CONNECT_S: Final = 2.0
_ALIVE: Final = 0


class Node(NamedTuple):
    """A node that is part of the cluster now."""

    host: str
    num_gpus: float


class Board:
    """The board of the head at an address. Every method raises BackendError when there is no answer in seconds."""

    def __init__(self, address: str) -> None:
        """Connect when first asked."""
        self.address = address
        self._client: Any = None

    def open_session(self, name: str) -> None:
        """Say that this head is a new one."""
        self._put(_SESSION, name)

    def session(self) -> str | None:
        """The name of the head; None before it gave itself one."""
        return self._get(_SESSION)

    def tell_outcome(self, code: int) -> None:
        """Say how it ended."""
        self._put(_OUTCOME, str(code))

    def outcome(self) -> int | None:
        """The exit code that the head will end with; None while it works."""
        told = self._get(_OUTCOME)
        return None if told is None else int(told)

    def tell_stopping(self, rank: int) -> None:
        """Say that a node was asked to go."""
        self._put(_STOPPING, str(rank))

    def stopping(self) -> int | None:
        """A node that was asked to go."""
        told = self._get(_STOPPING)
        return None if told is None else int(told)

    def tell_seen(self, rank: int) -> None:
        """Say that a node knows how it ended."""
        self._put(f"{_SEEN}/{rank}", "")

    def has_seen(self, rank: int) -> bool:
        """Whether a node knows how it ended."""
        return self._get(f"{_SEEN}/{rank}") is not None

    def nodes(self) -> list[Node]:
        """The nodes that are there now."""
        with self._asking() as client:
            told = client.get_all_node_info(timeout=_CALL_S)
        return [
            Node(node.node_manager_address, dict(node.resources_total).get("GPU", 0.0))
            for node in told.values()
            if node.state == _ALIVE
        ]

    def _put(self, key: str, value: str) -> None:
        with self._asking() as client:
            client.internal_kv_put(key.encode(), value.encode(), True, _SPACE, timeout=_CALL_S)

    def _get(self, key: str) -> str | None:
        with self._asking() as client:
            value = client.internal_kv_get(key.encode(), _SPACE, timeout=_CALL_S)
        return None if value is None else value.decode()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Any]:
        from ray.exceptions import RayError

        # Ray's client takes half a minute to find that nothing listens, and one that lost its server for longer ends
        # this process: it is asked only where there is somebody, and dropped when it fails.
        if not _is_open(self.address):
            self._client = None
            raise BackendError(f"there is no Ray at {self.address}", retryable=True)
        try:
            if self._client is None:
                self._client = import_module("ray._raylet").GcsClient(address=self.address)
            yield self._client
        except (RayError, OSError, RuntimeError) as error:
            self._client = None
            raise BackendError(f"the Ray at {self.address} does not answer: {error}", retryable=True) from error


def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
