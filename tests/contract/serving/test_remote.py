"""Pictures behind URLs: those of named hosts come, and no form of URL reaches the server's own network."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.contract.serving.served import adaptive, ask, question, serving, twice
from tests.contract.serving.site import PNG, PUBLIC, WHERE, ByName, Site, certificate_of, fetched, remote, running

from visionthink.engines import ScriptedEngine
from visionthink.serving.api_error import ApiError
from visionthink.serving.remote import RemotePictures, is_public


async def test_a_picture_of_a_named_host_is_answered() -> None:
    with running() as site:
        transport = ByName(site.port)
        fetching = remote(site, transport=transport)
        with serving(ScriptedEngine(twice), remote=fetching) as served:
            got = await ask(served, messages=[question("https://pictures.example/a.png")])
            assert served.count("visionthink_serve_held_bytes") == 0
    assert adaptive(got)["visual_tokens"] == 10
    assert site.asked == [("pictures.example", "/a.png")]
    assert (transport.addresses, transport.names) == ([PUBLIC], ["pictures.example"])


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (("pictures.example",), "https://PICTURES.example:443/a.png"),
        (("*.example",), "https://pictures.example/a.png"),
        (("*",), "https://pictures.example/a.png"),
        (("pictures.example:8443",), "https://pictures.example:8443/a.png"),
        (("pictures.example",), "https://pictures.example/typed.png"),
        (("pictures.example",), "https://pictures.example/untold.png"),
        (("pictures.example",), "https://pictures.example/redirect?to=/a.png"),
        (("*.example",), "https://pictures.example/redirect?to=https://other.example/a.png"),
    ],
)
async def test_named_hosts_are_fetched_from(hosts: tuple[str, ...], url: str) -> None:
    with running() as site:
        assert await fetched(remote(site, hosts=hosts), url) == PNG


PRIVATE = """
    127.0.0.1 127.9.9.9 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.1 198.18.0.1
    224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 2002:7f00:1:: 2002:a00:1::
    2001:0:4136:e378:8000:63bf:f5ff:fffe 64:ff9b::a00:1 64:ff9b::7f00:1 64:ff9b:1::a00:1 2001:db8::1 nonsense
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_of_ones_own_network_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.example/a.png",
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "gopher://pictures.example/a",
        "https://other.example/a.png",
        "https://pictures.example.evil.test/a.png",
        "https://evilpictures.example/a.png",
        "https://pictures.example:22/a.png",
        "https://pictures.example@127.0.0.1/a.png",
        "https://user:word@pictures.example/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://[::ffff:127.0.0.1]/a.png",
        "https://2130706433/a.png",
        "https://0x7f000001/a.png",
        "https://0177.0.0.1/a.png",
        "https://127.1/a.png",
        "https://localhost/a.png",
        "https://localhost./a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://pictures.example\\@127.0.0.1/a.png",
        "https://127.0.0.1\\@pictures.example/a.png",
        "https://127.0.0.1#@pictures.example/a.png",
        "https://127.0.0.1?@pictures.example/a.png",
        "https://pictures.example\t@127.0.0.1/",
        "https://①②⑦.0.0.1/a.png",
        "https://xn--/a.png",
        "https://",
        "https:///a.png",
        "//pictures.example/a.png",
        "pictures.example/a.png",
        "https://pictures.example:99999/a.png",
        "https://pictures.example/redirect?to=http://pictures.example/a.png",
        "https://pictures.example/redirect?to=https://127.0.0.1/a.png",
        "https://pictures.example/redirect?to=https://other.example/a.png",
        "https://pictures.example/redirect?to=//169.254.169.254/a.png",
        "https://pictures.example/redirect?to=file:///etc/passwd",
        "https://pictures.example/redirect?to=https://u:p@pictures.example/a.png",
        "https://pictures.example/redirect?to=https://[::1",
        "https://pictures.example/missing.png",
        "https://pictures.example/zipped.png",
        "https://pictures.example/endless.png",
        "https://pictures.example/huge.png",
        "https://pictures.example/page.png",
        "https://pictures.example/film.png",
        "https://pictures.example/json.png",
        "https://pictures.example/redirect?to=data:image/png;base64,iVBORw0KGgo",
        "https://pictures.example/redirect?to=gopher://pictures.example/",
        "https://pictures.example/redirect?to=https://pictures.example:22/",
        "https://pictures.example./a.png",
        "https://pictures.example%00.evil.test/a.png",
        "https://pictures%2eexample/a.png",
        "https://[pictures.example]/a.png",
    ],
)
async def test_no_other_url_is_fetched(url: str) -> None:
    with running() as site:
        transport = ByName(site.port)
        with pytest.raises(ApiError, match="data:image/png") as caught:
            await fetched(remote(site, transport=transport), url)
    assert (caught.value.status, caught.value.param) == (400, WHERE)
    assert set(transport.addresses) <= {PUBLIC} and {host for host, _ in site.asked} <= {"pictures.example"}


INTERNAL = """
    127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 0 0.0.0.0 0x0 127.0.0.1.
    LOCALHOST localhost localhost. 10.0.0.1 167772161 0xa.1 172.16.0.1 192.168.1.1 3232235777 169.254.169.254
    2852039166 0xa9fea9fe 0251.0376.0251.0376 100.64.0.1 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1
    255.255.255.255 metadata.internal intranet [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1]
    [0:0:0:0:0:ffff:10.0.0.1] [::127.0.0.1] [fe80::1] [fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1]
    [64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [64:ff9b:1::1] [2002:7f00:1::] [2002:a9fe:a9fe::] [2001:db8::1]
    [2001:0:4136:e378:8000:63bf:f5ff:fffe] [fe80::1%25eth0] ①②⑦.⓪.⓪.① 127。0。0。1 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ intranet:8443
    127.0.0.1:22 user@127.0.0.1 pictures.example@127.0.0.1
    \uff11\uff12\uff17.0.0.1
"""
"""Ways to write an address of one's own network: in all numbers that a C library reads, behind IPv6, in odd letters."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running() as found:
        yield found


def as_a_library_would(host: str) -> list[str]:
    """The addresses of `host`; numbers are read as getaddrinfo reads them, without asking anybody."""
    names = {"localhost": ["::1", "127.0.0.1"], "metadata.internal": ["169.254.169.254"], "intranet": ["10.1.2.3"]}
    if (name := host.lower().rstrip(".")) in names:
        return names[name]
    if name == "pictures.example":
        return [PUBLIC]
    try:
        return [host if ":" in host else socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))]
    except OSError as error:
        raise OSError("no such host") from error


async def resolve_as_a_library_would(host: str, port: int) -> list[str]:
    del port
    return as_a_library_would(host)


@pytest.mark.parametrize("form", ["https://{}/a.png", "https://pictures.example/redirect?to=https://{}/a.png"])
@pytest.mark.parametrize("host", INTERNAL.split())
async def test_ones_own_network_is_never_called_even_where_any_host_may_be(host: str, form: str, site: Site) -> None:
    site.asked.clear()
    transport = ByName(site.port)
    fetching = RemotePictures(
        ["*"], max_bytes=100_000, timeout_s=5.0, resolve=resolve_as_a_library_would, transport=transport
    )
    with pytest.raises(ApiError, match="data:image/png") as caught:
        await fetched(fetching, form.format(host))
    assert (caught.value.status, caught.value.param) == (400, WHERE)
    assert set(transport.addresses) <= {PUBLIC} and {place for place, _ in site.asked} <= {"pictures.example"}


async def test_any_host_means_its_usual_port(site: Site) -> None:
    with pytest.raises(ApiError, match="not among the hosts"):
        await fetched(remote(site, hosts=("*",)), "https://pictures.example:8443/a.png")


async def test_the_same_table_would_be_answered_if_its_hosts_were_public() -> None:
    with running() as site:
        fetching = RemotePictures(
            ["*"], max_bytes=100_000, timeout_s=5.0, resolve=resolve_as_a_library_would, transport=ByName(site.port)
        )
        assert await fetched(fetching, f"https://{int(ipaddress.ip_address(PUBLIC))}/a.png") == PNG


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], ["::ffff:10.0.0.1"], []]
)
async def test_a_name_that_leads_to_ones_own_network_is_not_followed(addresses: list[str]) -> None:
    with running() as site:
        fetching = remote(site, hosts=("*",), names={"pictures.example": addresses})
        with pytest.raises(ApiError, match="public address"):
            await fetched(fetching, "https://pictures.example/a.png")
    assert site.asked == []


async def test_a_name_is_resolved_once_for_each_hop() -> None:
    """A name that changes its mind between the look and the call is called where it was looked at."""
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        del host, port
        return answers.pop(0)

    with running() as site:
        transport = ByName(site.port)
        fetching = RemotePictures(
            ["pictures.example"], max_bytes=100_000, timeout_s=5.0, resolve=rebinding, transport=transport
        )
        assert await fetched(fetching, "https://pictures.example/a.png") == PNG
    assert transport.addresses == [PUBLIC] and answers == [["127.0.0.1"]]


async def test_the_certificate_must_be_the_names(tmp_path: Path) -> None:
    """Over real TLS: the address is called, and the name is what the certificate is held against."""

    class Near(httpx.AsyncBaseTransport):
        def __init__(self, port: int, trusted: ssl.SSLContext) -> None:
            self._port = port
            self._inner = httpx.AsyncHTTPTransport(verify=trusted)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
            return await self._inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self._inner.aclose()

    certificate, key = certificate_of("pictures.example", tmp_path)
    with running(certificate, key) as site:
        for host, is_right in (("pictures.example", True), ("other.example", False)):
            transport = Near(site.port, ssl.create_default_context(cafile=certificate))
            fetching = remote(site, hosts=("*",), transport=transport)
            if is_right:
                assert await fetched(fetching, f"https://{host}/a.png") == PNG
            else:
                with pytest.raises(ApiError, match="does not answer as it should"):
                    await fetched(fetching, f"https://{host}/a.png")
    assert site.asked == [("pictures.example", "/a.png")]


async def test_redirects_end() -> None:
    def around(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": str(request.url.path)})

    with running() as site, pytest.raises(ApiError, match="more than 3 redirects"):
        await fetched(remote(site, transport=httpx.MockTransport(around)), "https://pictures.example/a.png")


async def test_a_body_that_never_ends_is_given_up() -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield PNG[:10]
            await asyncio.Event().wait()

    def dripping(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Drip())

    with running() as site:
        fetching = RemotePictures(
            ["*"],
            max_bytes=10_000,
            timeout_s=0.05,
            resolve=resolve_as_a_library_would,
            transport=httpx.MockTransport(dripping),
        )
        with pytest.raises(ApiError, match=r"within 0\.05 s"):
            await fetched(fetching, "https://pictures.example/a.png")
    assert site.asked == []


async def test_a_host_that_never_answers_is_given_up() -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError(request)

    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return [PUBLIC]

    fetching = RemotePictures(["*"], max_bytes=10, timeout_s=0.05, resolve=resolve, transport=Silent())
    with pytest.raises(ApiError, match=r"within 0\.05 s"):
        await fetched(fetching, "https://pictures.example/a.png")
