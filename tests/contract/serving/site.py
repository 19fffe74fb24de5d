"""A site on this machine that stands for the internet, and the fetching of its pictures."""

import datetime
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.contract.serving.served import PICTURE

from visionthink.picture import encode_png
from visionthink.serving.remote import RemotePictures

PUBLIC = "93.184.216.34"
PNG = encode_png(PICTURE)
CONTENT_TYPES = {
    "/page.png": "text/html; charset=utf-8",
    "/film.png": "video/mp4",
    "/json.png": "application/json",
    "/typed.png": "IMAGE/PNG; q=1",
    "/untold.png": "application/octet-stream",
}
WHERE = "messages.0.content.0.image_url"


@dataclass
class Site:
    """A real HTTP server, and who was asked for what."""

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Host header and path of each request."""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.headers["host"], self.path))
        path, _, target = self.path.partition("?to=")
        if path == "/redirect":
            self.send_response(302)
            self.send_header("location", target)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        status = 404 if path == "/missing.png" else 200
        self.send_response(status)
        if path in CONTENT_TYPES:
            self.send_header("content-type", CONTENT_TYPES[path])
        if path == "/zipped.png":
            self.send_header("content-encoding", "gzip")
        if path == "/huge.png":
            self.send_header("content-length", "9" * 30)
        elif path != "/endless.png":
            self.send_header("content-length", str(len(PNG)))
        self.end_headers()
        try:
            for _ in range(2000 if path == "/endless.png" else 1):
                self.wfile.write(PNG)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class ByName(httpx.AsyncBaseTransport):
    """Stands for the internet and its TLS: what goes to the public address arrives at the local server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._inner = httpx.AsyncHTTPTransport()
        self.addresses: list[str] = []
        self.names: list[object] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.addresses.append(request.url.host)
        self.names.append(request.extensions["sni_hostname"])
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def certificate_of(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(names, names, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


@contextmanager
def running(certificate: Path | None = None, key: Path | None = None) -> Iterator[Site]:
    site = Site(0)
    handler = type("OneHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def remote(
    site: Site,
    *,
    hosts: tuple[str, ...] = ("pictures.example",),
    names: Mapping[str, list[str]] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> RemotePictures:
    async def resolve(host: str, port: int) -> list[str]:
        del port
        found = (names or {"pictures.example": [PUBLIC], "other.example": [PUBLIC]}).get(host)
        if found is None:
            raise OSError("no such host")
        return found

    transport = transport or ByName(site.port)
    return RemotePictures(hosts, max_bytes=100_000, timeout_s=5.0, resolve=resolve, transport=transport)


async def fetched(fetching: RemotePictures, url: str) -> bytes:
    held: list[int] = []
    try:
        data = await fetching.fetch(url, where=WHERE, hold=held.append)
    finally:
        await fetching.aclose()
    assert sum(held) == len(data)
    return data
