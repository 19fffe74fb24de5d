"""What boto3 raises, as StorageError.

Rule: every class that botocore and s3transfer export is named here as worth another try or not, and a test fails when
a new version brings one that is not. botocore has retried by then, so `retryable` speaks of a later call, not of the
next second.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from boto3.exceptions import Boto3Error
from botocore import exceptions as aws
from s3transfer import exceptions as transfer
from urllib3.exceptions import HTTPError

from visionthink.core.excerpt import excerpt
from visionthink.errors import StorageError
from visionthink.storage.error import DiskFullError, NotFoundError

RETRYABLE: Final[tuple[type[Exception], ...]] = (
    aws.CapacityNotAvailableError,
    aws.ChecksumError,
    aws.ConnectionClosedError,
    aws.ConnectionError,  # EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError
    aws.CredentialRetrievalError,  # a metadata service that did not answer
    aws.EventStreamError,
    aws.FlexibleChecksumError,
    aws.HTTPClientError,  # ReadTimeoutError, ResponseStreamingError
    aws.IncompleteReadError,
    aws.MetadataRetrievalError,
    transfer.RetriesExceededError,
    transfer.S3DownloadFailedError,
    HTTPError,  # urllib3's own, when a body breaks off in a way that botocore does not wrap
)
"""Failures of the network or of a server that may be gone the next time."""

FINAL: Final[tuple[type[Exception], ...]] = (
    aws.BotoCoreError,
    aws.UndefinedModelAttributeError,
    Boto3Error,
    transfer.S3CopyFailedError,
    transfer.S3UploadFailedError,
    transfer.S3ValidationError,
    transfer.InvalidSubscriberMethodError,
    transfer.TransferNotDoneError,
)
"""Failures that come back: wrong settings, wrong use. The root classes stand for all that RETRYABLE does not name."""

_MISSING_CODES: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_RETRYABLE_CODES: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_MENDS: Final = {
    "NoSuchBucket": "make the bucket, or mend its name in the URI",
    "AccessDenied": "let these credentials read, write and list this bucket",
    "403": "let these credentials read, write and list this bucket",
    "InvalidAccessKeyId": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a pair that this server knows",
    "SignatureDoesNotMatch": "set AWS_SECRET_ACCESS_KEY to the secret of AWS_ACCESS_KEY_ID",
    "ExpiredToken": "renew the session token (AWS_SESSION_TOKEN)",
    "RequestTimeTooSkewed": "set the clock of this machine",
}
_HTTP_TOO_MANY_REQUESTS: Final = 429
_HTTP_SERVER_ERROR: Final = 500
_HTTP_INSUFFICIENT_STORAGE: Final = 507


@contextlib.contextmanager
def translated(place: str, action: str) -> Iterator[None]:
    """Run one step on `place`; whatever boto3 raises leaves as StorageError."""
    try:
        yield
    except aws.ClientError as error:
        raise _from_reply(error, place, action) from error
    except (*RETRYABLE, *FINAL) as error:
        raise StorageError(
            f"could not {action} {excerpt(place)}: {excerpt(str(error))}{_mend(error)}",
            retryable=isinstance(error, RETRYABLE),
        ) from error


def status_of(error: aws.ClientError) -> int:
    """Return the HTTP status of a refusal, 0 when the reply does not say."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _from_reply(error: aws.ClientError, place: str, action: str) -> StorageError:
    """Translate a refusal that the server sent."""
    code = excerpt(str(error.response.get("Error", {}).get("Code", "unknown")), 40)
    place = excerpt(place)
    status = status_of(error)
    if code in _MISSING_CODES:
        return NotFoundError(f"could not {action} {place}: it does not exist")
    if status == _HTTP_INSUFFICIENT_STORAGE:
        return DiskFullError(
            f"could not {action} {place}: the disk of the S3 server is full; make room, then run again"
        )
    mend = _MENDS.get(code)
    retryable = code in _RETRYABLE_CODES or status >= _HTTP_SERVER_ERROR or status == _HTTP_TOO_MANY_REQUESTS
    hint = f"; {mend}" if mend else ""
    return StorageError(
        f"could not {action} {place}: the server refused with {code} ({status}){hint}",
        retryable=retryable or isinstance(error, RETRYABLE),
    )


def _mend(error: Exception) -> str:
    """Return what the user can do about the two failures that everybody meets first."""
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        return "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, aws.EndpointConnectionError | aws.ConnectTimeoutError):
        return "; check that the server runs and that AWS_ENDPOINT_URL_S3 names it"
    return ""
