import os
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.engines.chat_http import ChatServer, StatusError, UnreachableError
from visionthink.errors import ConfigError
from visionthink.network import (
    address_of,
    check_reachable,
    connections_to,
    is_own,
    reached_at,
    spare_own_hosts,
    url_host,
    without_secrets,
)

PROXY_VARIABLES = [
    variant for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for variant in (name, name.upper())
]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("host", "want"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("model.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("mlflow", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_own_is_what_names_this_machine_alone(host: str, want: bool) -> None:
    assert is_own(host) is want


@pytest.mark.parametrize(
    ("host", "in_url", "reached"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]", "[::1]"),
        ("[::1]", "[::1]", "[::1]"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::", "[::]", "[::1]"),
        ("localhost", "localhost", "localhost"),
        ("fe80::1%eth0", "[fe80::1%25eth0]", "[fe80::1%25eth0]"),
    ],
)
def test_host_stands_in_a_url_as_it_must(host: str, in_url: str, reached: str) -> None:
    assert (url_host(host), reached_at(host)) == (in_url, reached)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_name_of_both_kinds_is_listened_to_by_ipv4(host: str) -> None:
    assert address_of(host, 80) == (socket.AF_INET, ("127.0.0.1", 80))


def test_ipv6_host_is_listened_to_with_or_without_brackets() -> None:
    assert address_of("::1", 80) == address_of("[::1]", 80) == (socket.AF_INET6, ("::1", 80, 0, 0))


class Proxy:
    """A proxy that answers 502 to everything, and counts."""

    def __init__(self) -> None:
        self.num_asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.num_asked += 1
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


async def asked(url: str) -> bytes:
    server = ChatServer(base_url=url, max_connections=1)
    try:
        return await server.list_models()
    finally:
        await server.aclose()


@pytest.mark.parametrize("variable", [name for name in PROXY_VARIABLES if not name.lower().startswith("no")])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1"])
async def test_own_server_is_never_asked_through_a_proxy(
    url: str, variable: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    with pytest.raises(UnreachableError):
        await asked(url)
    assert proxy.num_asked == 0


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_other_server_is_asked_through_the_proxy(
    variable: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    with pytest.raises(StatusError, match="502"):
        await asked("http://judge.example/v1")
    assert proxy.num_asked == 1


async def test_other_server_is_asked_through_a_socks_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http:", "socks5h:"))
    with pytest.raises(UnreachableError):
        await asked("http://judge.example/v1")
    assert proxy.num_asked == 1


async def test_server_that_no_proxy_names_is_asked_straight(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example,.judge.example")
    for url, want in (("http://one.judge.example/v1", None), ("http://judge.sample/v1", proxy.url)):
        made = connections_to(url, limit=1, keep_alive_s=1.0)
        await made["connector"].close()
        assert made["proxy"] == want


@pytest.mark.parametrize("scheme", ["socks5://", "socks5h://", "http://", ""])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "https://judge.example/v1"])
def test_client_is_made_whatever_usual_proxy_is_named(url: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}127.0.0.1:1")
    check_reachable(url)


def test_proxy_of_an_unknown_kind_is_refused_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://me:secret@127.0.0.1:1")
    check_reachable("http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match=r"judge\.example/v1 cannot be reached through the proxy") as caught:
        check_reachable("https://me:secret@judge.example/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "want"),
    [
        ({}, []),
        ({"NO_PROXY": "a.example, .b.example"}, ["a.example", ".b.example"]),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, ["a.example", "b.example"]),
        ({"no_proxy": "", "NO_PROXY": "localhost,b.example"}, ["localhost", "b.example"]),
    ],
)
def test_own_hosts_are_spared_beside_those_that_the_user_named(env: dict[str, str], want: list[str]) -> None:
    env["HTTP_PROXY"] = "http://proxy:3128"
    spare_own_hosts(env)
    names = env["no_proxy"].split(",")
    assert env["NO_PROXY"] == env["no_proxy"]
    assert names[: len(want)] == want and len(names) == len(set(names))
    assert {"localhost", "127.0.0.1", "::1"} <= set(names)
    spared = dict(env)
    spare_own_hosts(env)
    assert env == spared


@pytest.mark.parametrize("env", [{}, {"NO_PROXY": "a.example"}, {"PATH": "/bin"}])
def test_environment_without_a_proxy_is_left_as_it_is(env: dict[str, str]) -> None:
    before = dict(env)
    spare_own_hosts(env)
    assert env == before


def test_libraries_spare_own_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import requests

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    spare_own_hosts(os.environ)
    for url in ("http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/"):
        assert requests.utils.get_environ_proxies(url) == {}
        assert urllib.request.proxy_bypass(url.split("/")[2].rpartition(":")[0].strip("[]"))
        with httpx.Client() as client, pytest.raises(httpx.ConnectError, match="refused"):
            client.get(url)
    assert requests.utils.get_environ_proxies("http://mlflow:5000/") != {}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("http://me:secret@mlflow:5000/x", "http://mlflow:5000/x"),
        ("http://sec@ret:secret@mlflow", "http://mlflow"),
        ("http://secret@mlflow", "http://mlflow"),
        ("openai:https://h/v1?model=m&api_key=secret", "openai:https://h/v1?model=m&api_key=***"),
        ("openai:https://h/v1?token=secret&model=m", "openai:https://h/v1?token=***&model=m"),
        ("https://h/v1?X-Amz-Signature=secret#part", "https://h/v1?X-Amz-Signature=***#part"),
        ("openai:https://h/v1?model=m&subscription-key=secret", "openai:https://h/v1?model=m&subscription-key=***"),
        ("postgresql+psycopg2://me:secret@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("cannot reach 'http://me:secret@h/a' and http://h/b", "cannot reach 'http://h/a' and http://h/b"),
        ('{"uri": "http://me:secret@h/a", "n": "a@b"}', '{"uri": "http://h/a", "n": "a@b"}'),
        ("mail me@example.com", "mail me@example.com"),
        ("http://h/users/a@b", "http://h/users/a@b"),
        ("openai:http://h/v1?model=a@b", "openai:http://h/v1?model=a@b"),
    ],
)
def test_secrets_are_taken_out_of_a_text(text: str, want: str) -> None:
    assert without_secrets(text) == want
    assert "secret" not in want


@given(st.text())
def test_text_without_secrets_stays_so(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once
