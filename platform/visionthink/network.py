"""How servers are reached, and what of their addresses may be shown.

Rule: a proxy stands between this machine and others, never between this program and a server of its own machine, or a
company's proxy, which knows no loopback, would end every run. For all other addresses the usual variables count
(HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, in either case). And an address leaves the program, into a log, a report
or a tracker, only without its passwords and keys.
"""

import ipaddress
import re
import socket
import ssl
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Final, TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from visionthink.errors import ConfigError

if TYPE_CHECKING:
    import aiohttp


_OWN: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
"""How the variable NO_PROXY names this machine; some libraries know networks, others single addresses only."""
_PROXY_KINDS: Final = ("http", "https", "socks5", "socks5h")
_HIDDEN: Final = "***"
_USER_INFO: Final = re.compile(r"(?<=://)[^\s/?#'\"]*@")
_SECRET_VALUE: Final = re.compile(
    r"(?<=[?&;])([\w.-]*(?:key|token|secret|password|passwd|pwd|signature|credential|auth|sig)[\w.-]*)=[^&;#\s'\"]*",
    re.IGNORECASE,
)


def is_own(host: str) -> bool:
    """Whether a host's name or address can mean this machine alone."""
    name = host.strip("[]").partition("%")[0].rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def url_host(host: str) -> str:
    """The host as it stands in a URL: an IPv6 address in brackets."""
    bare = host.strip("[]")
    return f"[{bare.replace('%', '%25')}]" if ":" in bare else bare


def reached_at(host: str) -> str:
    """The host, as it stands in a URL, under which a server that listens on `host` is reached from this machine."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host.strip("[]"), url_host(host))


def address_of(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Family and address to listen on; IPv4 where a name has both.

    Raises:
        OSError: there is no such host.
    """
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def spare_own_hosts(env: MutableMapping[str, str]) -> None:
    """Let every library of this process and of those that it starts reach this machine without a proxy.

    Nothing is changed where no proxy is named: on macOS the mere variable would hide the proxies of the system.
    """
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in env):
        return
    # The lower-case name wins, and an empty one hides the other, so both get what either says.
    named = [name.strip() for key in ("no_proxy", "NO_PROXY") for name in env.get(key, "").split(",")]
    both = ",".join(dict.fromkeys([*filter(None, named), *_OWN]))
    env["no_proxy"] = env["NO_PROXY"] = both


class Connections(TypedDict):
    """How an `aiohttp.ClientSession` reaches a server: arguments of it."""

    connector: "aiohttp.BaseConnector"
    proxy: str | None


def connections_to(url: str, *, limit: int, keep_alive_s: float) -> Connections:
    """So many connections to the server at `url`, each kept for so many seconds after its last use.

    Raises:
        ConfigError: the proxy that the environment names cannot be used.
    """
    import aiohttp

    proxy = _proxy_of(url)
    context = _trust() if urlsplit(url).scheme == "https" else True
    if proxy is None or proxy.startswith("http"):
        connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=keep_alive_s, ssl=context)
        return Connections(connector=connector, proxy=proxy)
    try:
        from aiohttp_socks import ProxyConnector
    except ImportError as error:
        raise _unusable(url, "a SOCKS proxy needs the package aiohttp-socks") from error
    # Names are always resolved by the proxy, which is all that the `h` says.
    made = ProxyConnector.from_url(
        proxy.replace("socks5h:", "socks5:"), limit=limit, keepalive_timeout=keep_alive_s, ssl=context
    )
    return Connections(connector=made, proxy=None)


def connection_errors() -> tuple[type[Exception], ...]:
    """What a request over such connections raises where no server could be had."""
    import aiohttp

    socks = sys.modules.get("aiohttp_socks")
    names = ("ProxyError", "ProxyConnectionError", "ProxyTimeoutError")
    return (aiohttp.ClientError, ConnectionError, *(getattr(socks, name) for name in names if socks))


def check_reachable(url: str) -> None:
    """Refuse an address that no client could be made for, before any work begins. Nothing is sent.

    Raises:
        ConfigError: the proxy that the environment names cannot be used.
    """
    _proxy_of(url)


def _proxy_of(url: str) -> str | None:
    """The proxy that stands before the server at `url`, as the usual variables say."""
    to = urlsplit(url)
    if is_own(to.hostname or "") or proxy_bypass(to.netloc.rpartition("@")[2]):
        return None
    named = getproxies()
    proxy = named.get(to.scheme) or named.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if (kind := proxy.partition("://")[0].lower()) not in _PROXY_KINDS:
        raise _unusable(url, f"{kind}:// is none of {', '.join(_PROXY_KINDS)}")
    return proxy


def _trust() -> ssl.SSLContext:
    """The certificates of the system, which hold a company's own, and those that browsers trust."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def without_secrets(text: str) -> str:
    """The text with the user and password of each address taken out, and `***` for each key in a query."""
    return _SECRET_VALUE.sub(rf"\1={_HIDDEN}", _USER_INFO.sub("", text))


def _unusable(url: str, reason: str) -> ConfigError:
    return ConfigError(
        f"{without_secrets(url)} cannot be reached through the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names "
        f"({reason}); name an http:// or socks5:// proxy, or add the server to NO_PROXY"
    )
