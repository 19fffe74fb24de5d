"""A prefix of an S3 bucket as a store, through boto3.

Rule: every call has a timeout and a bounded number of tries, and what is read is one version of the object: a file that
is replaced while it is read, in ranges or again after its body broke off, is an error, not a mixture.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from visionthink.storage.atomic import atomic_open
from visionthink.storage.error import NotFoundError, from_os_error
from visionthink.storage.key import checked_key, checked_prefix
from visionthink.storage.s3_body import fetch
from visionthink.storage.s3_error import status_of, translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 60.0
"""Longest silence within a call, not longest call: a large file may take hours."""
MAX_ATTEMPTS: Final = 4
"""Tries a call, with botocore's exponential backoff between them."""

_BUFFER_BYTES: Final = 1024**2
_HTTP_PRECONDITION_FAILED: Final = 412


def connect(
    endpoint_url: str | None = None,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    max_attempts: int = MAX_ATTEMPTS,
) -> "S3Client":
    """Make a client. Nothing is asked of the server yet.

    `endpoint_url` None leaves it to boto3 (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, else AWS), as are the
    credentials. The region is us-east-1 where nothing names one: own servers ignore it, but it is part of a signature.

    Raises:
        StorageError: the settings in the environment or in the profile contradict each other.
    """
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": max_attempts},
        # Own servers rarely have a DNS name for every bucket; AWS takes both styles.
        s3={"addressing_style": "path"},
        # Since boto3 1.36 the defaults are checksums that older servers refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with translated(endpoint_url or "the S3 server", "connect to"):
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Store:
    """The objects of `bucket` below `prefix` ("" is the whole bucket). Threads may share it."""

    client: "S3Client"
    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        """Where the store is, as an S3 URI."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, key: str) -> bytes:
        """Return the whole object."""
        name = self._name(key)
        with translated(f"{self.uri}/{key}", "read"):
            return fetch(self.client, self.bucket, name)

    def open(self, key: str) -> BinaryIO:
        """Open the object; each megabyte that is read of it is one request."""
        name = self._name(key)
        with translated(f"{self.uri}/{key}", "read"):
            head = self.client.head_object(Bucket=self.bucket, Key=name)
        raw = _RangeFile(self.client, self.bucket, name, head["ContentLength"], head["ETag"])
        return cast(BinaryIO, io.BufferedReader(raw, _BUFFER_BYTES))

    def exists(self, key: str) -> bool:
        """Say whether the object is there."""
        name = self._name(key)
        try:
            with translated(f"{self.uri}/{key}", "look up"):
                self.client.head_object(Bucket=self.bucket, Key=name)
        except NotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the sorted keys of all objects; names ending in "/" are what consoles make for empty folders."""
        root = f"{self.prefix}/" if self.prefix else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=root + checked_prefix(prefix)
        )
        with translated(f"{self.uri}/{prefix}", "list"):
            for page in pages:
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):
                        yield entry["Key"].removeprefix(root)

    def write(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        name = self._name(key)
        with translated(f"{self.uri}/{key}", "write"):
            self.client.put_object(Bucket=self.bucket, Key=name, Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object if there is none (If-None-Match), else return False."""
        name = self._name(key)
        with translated(f"{self.uri}/{key}", "write"):
            try:
                self.client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) != _HTTP_PRECONDITION_FAILED:
                    raise
                return False
        return True

    def upload(self, key: str, path: Path) -> None:
        """Send a file, a large one in parts."""
        name = self._name(key)
        try:
            file = path.open("rb")
        except OSError as error:
            raise from_os_error(error, str(path), "read") from error
        with file, translated(f"{self.uri}/{key}", "write"):
            self.client.upload_fileobj(file, self.bucket, name)

    def download(self, key: str, path: Path) -> None:
        """Fetch an object into a file, a large one in parts."""
        name = self._name(key)
        with atomic_open(path) as file, translated(f"{self.uri}/{key}", "read"):
            self.client.download_fileobj(self.bucket, name, file)

    def _name(self, key: str) -> str:
        """Return the name of the object in the bucket."""
        return f"{self.prefix}/{checked_key(key)}" if self.prefix else checked_key(key)


class _RangeFile(io.RawIOBase):
    """One version of an object as a seekable file: each read is a request for that range."""

    def __init__(self, client: "S3Client", bucket: str, name: str, size_bytes: int, etag: str) -> None:
        super().__init__()
        self._client, self._bucket, self._name = client, bucket, name
        self._size_bytes, self._etag, self._offset = size_bytes, etag, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the start of the object")
        self._offset = base + offset
        return self._offset

    def readall(self) -> bytes:
        """Fetch the rest in one request; the inherited method would ask for 8 KiB at a time."""
        rest = bytearray(max(0, self._size_bytes - self._offset))
        return bytes(rest[: self.readinto(rest)])

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size_bytes - self._offset)
        if wanted <= 0:
            return 0
        with translated(f"s3://{self._bucket}/{self._name}", "read"):
            data = fetch(self._client, self._bucket, self._name, first=self._offset, size_bytes=wanted, etag=self._etag)
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)
