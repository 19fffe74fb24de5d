"""How servers are reached, and what of their addresses may be shown.

Rule: a proxy stands between this machine and others, never between this program and a server of its own machine, or a
company's proxy, which knows no loopback, would end every run. For all other addresses the usual variables count
(HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, in either case). And an address leaves the program, into a log, a report
or a tracker, only without its passwords and keys.
"""

import ipaddress
import re
import socket
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from visionthink.errors import ConfigError

if TYPE_CHECKING:
    import openai

_OWN: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
"""How the variable NO_PROXY names this machine; some libraries know networks, others single addresses only."""
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


def http_client(url: str) -> "openai.DefaultHttpxClient":
    """The connections of an `openai.OpenAI` client of the server at `url`.

    Raises:
        ConfigError: the proxy that the environment names cannot be used.
    """
    import openai

    try:
        return openai.DefaultHttpxClient(trust_env=not _is_own_url(url))
    except (ImportError, ValueError) as error:
        raise _unusable(url, error) from error


def async_http_client(url: str, *, max_connections: int | None = None) -> "openai.DefaultAsyncHttpxClient":
    """The connections of an `openai.AsyncOpenAI` client of the server at `url`, so many at most.

    Raises:
        ConfigError: the proxy that the environment names cannot be used.
    """
    import openai

    # The library's limits have no public name of their own; those of the package are of their type.
    kind = type(openai.DEFAULT_CONNECTION_LIMITS)
    limits = kind(max_connections=max_connections, max_keepalive_connections=max_connections)
    try:
        return openai.DefaultAsyncHttpxClient(trust_env=not _is_own_url(url), limits=limits)
    except (ImportError, ValueError) as error:
        raise _unusable(url, error) from error


def check_reachable(url: str) -> None:
    """Refuse an address that no client could be made for, before any work begins. Nothing is sent.

    Raises:
        ConfigError: the proxy that the environment names cannot be used.
    """
    http_client(url).close()


def without_secrets(text: str) -> str:
    """The text with the user and password of each address taken out, and `***` for each key in a query."""
    return _SECRET_VALUE.sub(rf"\1={_HIDDEN}", _USER_INFO.sub("", text))


def _is_own_url(url: str) -> bool:
    return is_own(urlsplit(url).hostname or "")


def _unusable(url: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{without_secrets(url)} cannot be reached through the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names "
        f"({without_secrets(str(error))}); name an http:// or socks5:// proxy, or add the server to NO_PROXY"
    )
