"""Fetches pictures from hosts that the operator named, and from nowhere else.

Rule: a server that opens URLs for strangers can be made to call on its own network. So nothing is fetched unless hosts
are named; a URL is https, without a password, and its host is on the list; the name is resolved here, every address
that it has must be a public one, and exactly the address that was looked at is called (no second look-up that could
answer otherwise); each redirect goes through all of this again. Sizes and seconds are bounded, what says that it is no
picture is not read, nothing is unpacked, and the environment's proxies are not asked.

One parser reads a URL, the one of the client that then calls it, so the two cannot disagree about its host.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import httpx

from visionthink.serving.api_error import ApiError, bad_value

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_ANY_HOST: Final = "*"
_UNTOLD: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Content types of hosts that do not know what they store, so the bytes tell."""
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolved(host: str, port: int) -> list[str]:
    """All addresses of `host`.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether `address` lies in the open internet, whatever other address it may carry inside."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(_is_global(one) for one in (parsed, *_carried(parsed)))


class RemotePictures:
    """Pictures behind https URLs."""

    def __init__(
        self,
        hosts: Collection[str],
        *,
        max_bytes: int,
        timeout_s: float,
        resolve: Resolve = resolved,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Fetch from `hosts` (`example.org`, `example.org:8443`, `*.example.org`, or `*` for any public one).

        A picture has at most `max_bytes` and takes at most `timeout_s`, redirects included.
        """
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve
        # A bare transport, not a client: that would keep cookies, ask proxies and follow redirects by itself.
        # No connection is used twice: it was proven to be one name's, and the pool would reuse it for the address.
        self._transport = transport or httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def fetch(self, url: str, *, where: str, hold: Callable[[int], None]) -> bytes:
        """The bytes behind `url`, each piece announced to `hold` before it is kept.

        Raises:
            ApiError: 400, they may not or cannot be fetched; `where` is the place of the URL in the request.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._followed(url, where, hold)
        except TimeoutError as error:
            raise _refused(f"did not come within {self._timeout_s:g} s", where) from error
        except (httpx.HTTPError, OSError) as error:
            raise _refused("cannot be fetched: its host does not answer as it should", where) from error

    async def _followed(self, url: str, where: str, hold: Callable[[int], None]) -> bytes:
        target = self._checked(_parsed(url, where), where)
        for _ in range(_MAX_REDIRECTS + 1):
            request = httpx.Request(
                "GET",
                target.copy_with(host=await self._address(target, where)),
                # The certificate and the server are asked for the name, the connection goes to the address.
                headers={"host": target.netloc.decode("ascii"), "accept": "image/*", "accept-encoding": "identity"},
                extensions={
                    "sni_hostname": target.raw_host.decode("ascii"),
                    "timeout": httpx.Timeout(self._timeout_s).as_dict(),
                },
            )
            response = await self._transport.handle_async_request(request)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._read(response, where, hold)
                location = response.headers.get("location", "")
            finally:
                await response.aclose()
            target = self._checked(_joined(target, location, where), where)
        raise _refused(f"leads through more than {_MAX_REDIRECTS} redirects", where)

    def _checked(self, url: httpx.URL, where: str) -> httpx.URL:
        """`url`, when it may be called as far as its text goes."""
        if url.scheme != "https":
            raise _refused("is no https URL, or leads to one that is none", where)
        if url.userinfo:
            raise _refused("holds a user name or password", where)
        host = url.raw_host.decode("ascii")
        place = host if url.port in (None, 443) else f"{host}:{url.port}"
        above = {f"*.{place[i + 1 :]}" for i, letter in enumerate(place) if letter == "."}
        is_any = _ANY_HOST in self._hosts and place == host
        if not (is_any or self._hosts & {place, *above}):
            raise _refused(f"is at {place[:64]!r}, which is not among the hosts that this server fetches from", where)
        return url

    async def _address(self, url: httpx.URL, where: str) -> str:
        addresses = await self._resolve(url.raw_host.decode("ascii").strip("[]"), url.port or 443)
        if not addresses or not all(is_public(address) for address in addresses):
            raise _refused("does not lead to a public address", where)
        return addresses[0]

    async def _read(self, response: httpx.Response, where: str, hold: Callable[[int], None]) -> bytes:
        if response.status_code != 200:
            raise _refused(f"is answered with HTTP {response.status_code}", where)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _refused("comes compressed", where)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/") and kind not in _UNTOLD:
            raise _refused(f"is of the type {kind[:64]!r}, which is no picture", where)
        told = response.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:20]) > self._max_bytes:
            raise _refused(f"has more than {self._max_bytes} bytes", where)
        data = bytearray()
        async for piece in response.aiter_raw():
            if len(data) + len(piece) > self._max_bytes:
                raise _refused(f"has more than {self._max_bytes} bytes", where)
            hold(len(piece))
            data += piece
        return bytes(data)


def _parsed(url: str, where: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:  # idna's errors are ValueErrors
        raise _refused("has a URL that is none", where) from error


def _joined(base: httpx.URL, location: str, where: str) -> httpx.URL:
    try:
        return base.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("leads to a URL that is none", where) from error


def _is_global(address: _Address) -> bool:
    is_old_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    is_reserved = address.is_reserved and address not in _NAT64
    return address.is_global and not (address.is_multicast or is_reserved or is_old_local)


def _carried(address: _Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address leads on to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


def _refused(why: str, where: str) -> ApiError:
    return bad_value(f"the picture {why}; send the picture itself as data:image/png;base64,...", param=where)
