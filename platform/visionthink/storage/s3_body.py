"""The content of an S3 object, also when the connection breaks off while it arrives.

Rule: botocore tries a request again until its reply begins; after that it is our turn. What has arrived is kept, and
the rest is asked for from there, of the same version of the object (If-Match), a bounded number of times.
"""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, IncompleteReadError
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectRequestTypeDef

NUM_BREAKS: Final = 8
"""How often the body of one object or range may break off."""
_CHUNK_BYTES: Final = 256 * 1024


def fetch(
    client: "S3Client",
    bucket: str,
    name: str,
    *,
    first: int = 0,
    size_bytes: int | None = None,
    etag: str | None = None,
) -> bytes:
    """Return `size_bytes` of an object from the byte `first` on, all of it by default, of the version `etag` if given.

    Raises:
        ClientError, BotoCoreError, HTTPError: the server refused, or the body broke off too often.
    """
    got = bytearray()
    for num_breaks in range(NUM_BREAKS + 1):
        wanted: GetObjectRequestTypeDef = {"Bucket": bucket, "Key": name}
        if size_bytes is not None:
            wanted["Range"] = f"bytes={first + len(got)}-{first + size_bytes - 1}"
        if etag is not None:
            wanted["IfMatch"] = etag
        reply = client.get_object(**wanted)
        etag = reply["ETag"]
        if size_bytes is None:
            size_bytes = reply["ContentLength"]
        try:
            for chunk in reply["Body"].iter_chunks(_CHUNK_BYTES):
                got += chunk
        except (BotoCoreError, HTTPError):
            if num_breaks == NUM_BREAKS:
                raise
        if len(got) >= size_bytes:
            return bytes(got)
    raise IncompleteReadError(actual_bytes=len(got), expected_bytes=size_bytes or 0)
