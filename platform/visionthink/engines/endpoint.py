"""The servers of one model: which of them is asked next.

Rule: requests of one session stay on one server while it is up, since the picture's tokens are cached there; a new
session goes to the server with the least to do. A server that does not answer is left alone for a while, longer each
time, and asked again after that; when none is up, the one that was left alone first is tried. Time comes in as numbers.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from visionthink.errors import ConfigError
from visionthink.network import without_secrets

_MAX_SESSIONS: Final = 65_536
"""Sessions that are remembered. More than any window of episodes holds, so none that is at work is forgotten."""
_BETWEEN: Final = re.compile(r",(?=https?://)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is."""

    base_url: str
    """Up to and with `/v1`."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request: Azure's `api-version`."""


class Place(NamedTuple):
    """The servers of a model and its name there."""

    addresses: tuple[Address, ...]
    model: str


def parse_place(place: str) -> Place:
    """Read `http://HOST:PORT/v1?model=NAME`, or several addresses separated by commas, the name behind one or all.

    Raises:
        ConfigError: it names no server, or not one model.
    """
    addresses, models = [], set()
    for part in split_place(place):
        url = urlsplit(part)
        query = dict(parse_qsl(url.query))
        models |= {query.pop("model")} if query.get("model") else set()
        if url.scheme not in ("http", "https") or not url.hostname:
            raise _no_place(place)
        base_url = urlunsplit((url.scheme, url.netloc, url.path.rstrip("/"), "", ""))
        addresses.append(Address(base_url=base_url, query=query))
    if len(models) != 1:
        raise _no_place(place)
    return Place(tuple(addresses), models.pop())


def split_place(place: str) -> list[str]:
    """The single addresses in `place`, as they were written."""
    return _BETWEEN.split(place)


def _no_place(place: str) -> ConfigError:
    return ConfigError(
        f"openai:{without_secrets(place)[:200]} names no server and model; write openai:http://HOST:PORT/v1?model=NAME"
        ", or several servers of one model as openai:http://A:PORT/v1,http://B:PORT/v1?model=NAME"
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Health:
    """What is known of one server."""

    num_at_work: int = 0
    """Requests that it has, or that wait for it."""
    num_failures: int = 0
    """Since it last answered."""
    down_until_s: float = 0.0


class Balance:
    """Spreads sessions over servers."""

    def __init__(self, num_servers: int) -> None:
        """Choose among so many, all of them up."""
        self.servers: Sequence[Health] = [Health() for _ in range(num_servers)]
        self._sessions: OrderedDict[str, int] = OrderedDict()

    def choose(self, session: str | None, now_s: float) -> int:
        """The number of the server to ask."""
        up = [index for index, server in enumerate(self.servers) if server.down_until_s <= now_s]
        held = self._sessions.get(session) if session is not None else None
        if held is not None and held in up:
            chosen = held
        elif up:
            chosen = min(up, key=lambda index: self.servers[index].num_at_work)
        else:
            chosen = min(range(len(self.servers)), key=lambda index: self.servers[index].down_until_s)
        if session is not None:
            self._sessions[session] = chosen
            self._sessions.move_to_end(session)
            if len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return chosen

    def answered(self, index: int) -> None:
        """Server `index` is up."""
        self.servers[index].num_failures = 0
        self.servers[index].down_until_s = 0.0

    def failed(self, index: int, until_s: float) -> None:
        """Server `index` did not answer; leave it alone until then."""
        self.servers[index].num_failures += 1
        self.servers[index].down_until_s = max(self.servers[index].down_until_s, until_s)

    def has_other(self, index: int, now_s: float) -> bool:
        """Whether another server is up."""
        return any(at != index and server.down_until_s <= now_s for at, server in enumerate(self.servers))
