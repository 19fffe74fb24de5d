"""From a URI to a store.

Rule: boto3 is imported only when an s3:// URI is opened, so that a laptop without it runs everything on folders.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from visionthink.core.excerpt import shown
from visionthink.errors import UserError
from visionthink.storage.local import LocalStore
from visionthink.storage.store import Store


def open_store(uri: str | Path, *, endpoint_url: str | None = None) -> Store:
    """Open "s3://bucket/prefix", "file:///folder" or a path. Nothing is asked or made until the store is used.

    `endpoint_url` is the S3 server; None takes AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL from the environment, else AWS.

    Raises:
        UserError: the URI has another scheme or lacks a bucket or path.
    """
    if isinstance(uri, Path) or "://" not in uri:
        return LocalStore(Path(uri))
    parts = urlsplit(uri)
    if parts.query or parts.fragment:
        raise UserError(f"{shown(uri, 160)} has a '?' or '#' part, which a store does not know; leave it out")
    match parts.scheme:
        case "file":
            return LocalStore(_folder(uri, parts.netloc, parts.path))
        case "s3":
            return _open_s3(uri, parts.netloc, parts.path.strip("/"), endpoint_url)
        case other:
            raise UserError(
                f"{shown(uri, 160)} has the scheme {other!r}; use s3://bucket/prefix, file:///folder or a path"
            )


def _folder(uri: str, host: str, path: str) -> Path:
    if host not in ("", "localhost") or not path:
        raise UserError(f"{shown(uri, 160)} names no folder of this machine; write file:///folder with three slashes")
    return Path(unquote(path))


def _open_s3(uri: str, bucket: str, prefix: str, endpoint_url: str | None) -> Store:
    if not bucket:
        raise UserError(f"{shown(uri, 160)} names no bucket; write s3://bucket/prefix")
    try:
        from visionthink.storage.s3 import S3Store, connect
    except ModuleNotFoundError as error:
        raise UserError(f"opening {shown(uri, 160)} needs {error.name}; install visionthink[s3]") from error
    return S3Store(client=connect(endpoint_url), bucket=bucket, prefix=prefix)
