"""A server in the background is up when its block starts and gone when it ends."""

import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from visionthink.errors import EngineError
from visionthink.serving.server import background_server


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=5) as response:
        return int(response.status)


def test_the_block_starts_when_the_app_is_ready() -> None:
    app, asked = FastAPI(), []

    @app.get("/v2/health/ready")
    async def ready() -> JSONResponse:
        asked.append(1)
        return JSONResponse({}, status_code=200 if len(asked) > 3 else 503)

    with background_server(app) as url:
        assert len(asked) == 4
        assert status(f"{url}/v2/health/ready") == 200
    with pytest.raises(urllib.error.URLError):
        status(f"{url}/v2/health/ready")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_readiness_is_asked_past_every_proxy(variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, str]:
        return {}

    monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:1")
    with background_server(app, deadline_s=20):
        pass


@pytest.mark.parametrize(
    ("host", "want"),
    [
        ("::1", "http://[::1]:"),
        ("[::1]", "http://[::1]:"),
        ("::", "http://[::1]:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("localhost", "http://localhost:"),
    ],
)
def test_server_is_reached_whatever_it_listens_on(host: str, want: str) -> None:
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, str]:
        return {}

    with background_server(app, host=host, deadline_s=20) as url:
        assert url.startswith(want)


def test_host_that_is_none_is_refused() -> None:
    with (
        pytest.raises(EngineError, match=r"cannot listen on \[::1%25none\]:0: .*; choose another --host or --port"),
        background_server(FastAPI(), host="::1%none"),
    ):
        pytest.fail("the block must not start")


def test_two_servers_take_two_ports() -> None:
    with background_server(FastAPI(), ready_path=None) as one, background_server(FastAPI(), ready_path=None) as two:
        assert one != two
        assert status(f"{one}/openapi.json") == status(f"{two}/openapi.json") == 200


def test_an_app_that_never_gets_ready_is_ended() -> None:
    with (
        pytest.raises(EngineError, match=r"not ready within 0\.3 s"),
        background_server(FastAPI(), deadline_s=0.3),
    ):
        pytest.fail("the block must not start")


def test_an_app_that_fails_to_start_is_told_apart() -> None:
    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no disk")
        yield

    with (
        pytest.raises(EngineError, match="ended while it started"),
        background_server(FastAPI(lifespan=broken), ready_path=None),
    ):
        pytest.fail("the block must not start")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(EngineError, match=f"127.0.0.1:{port}"),
            background_server(FastAPI(), port=port),
        ):
            pytest.fail("the block must not start")


def test_the_server_ends_when_the_block_raises() -> None:
    urls = []
    with pytest.raises(LookupError), background_server(FastAPI(), ready_path=None) as url:
        urls.append(url)
        raise LookupError
    with pytest.raises(urllib.error.URLError):
        status(urls[0])
