"""The guard of conftest.py: what it lets through and what it stops."""

import asyncio
import socket
import threading

import pytest


def test_network_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
        thread.join(timeout=5)
    assert not thread.is_alive()


# 192.0.2.0/24 and .invalid are reserved for documentation: nothing answers there even if the guard fails.
@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_network_other_machine_is_refused(host: str) -> None:
    with pytest.raises(Exception, match="mark the test e2e"):
        socket.create_connection((host, 80), timeout=1)


async def test_network_other_machine_is_refused_to_asyncio() -> None:
    with pytest.raises(Exception, match="mark the test e2e"):
        async with asyncio.timeout(5):
            await asyncio.open_connection("192.0.2.1", 80)


@pytest.mark.e2e
def test_network_is_open_to_e2e() -> None:
    with pytest.raises(OSError):
        socket.create_connection(("192.0.2.1", 80), timeout=0.2)


def test_new_threads_are_not_traced() -> None:
    assert threading.gettrace() is None
