"""Every exception of boto3 leaves as a StorageError that says whether to try again."""

import inspect
from types import ModuleType

import boto3.exceptions
import botocore.exceptions
import pytest
import s3transfer.exceptions
from botocore.exceptions import ClientError

from visionthink.errors import StorageError
from visionthink.storage import DiskFullError, NotFoundError
from visionthink.storage.s3_error import FINAL, RETRYABLE, translated

# Classes below BotoCoreError and Boto3Error that come back when the call is repeated: wrong settings or wrong use. A
# class that a new version brings belongs here, or into RETRYABLE in s3_error.py.
KNOWN_FINAL = frozenset(
    [
        "ApiVersionNotFoundError",
        "AliasConflictParameterError",
        "AwsChunkedWrapperError",
        "BaseEndpointResolverError",
        "Boto3Error",
        "BotoCoreError",
        "ConfigNotFound",
        "ConfigParseError",
        "DataNotFoundError",
        "DynamoDBNeedsConditionError",
        "DynamoDBNeedsKeyConditionError",
        "DynamoDBOperationNotSupportedError",
        "EndpointProviderError",
        "EndpointResolutionError",
        "EndpointVariantError",
        "InfiniteLoopConfigError",
        "InvalidChecksumConfigError",
        "InvalidConfigError",
        "InvalidCrtTransferConfigError",
        "InvalidDNSNameError",
        "InvalidDefaultsMode",
        "InvalidEndpointConfigurationError",
        "InvalidEndpointDiscoveryConfigurationError",
        "InvalidExpressionError",
        "InvalidHostLabelError",
        "InvalidIMDSEndpointError",
        "InvalidIMDSEndpointModeError",
        "InvalidMaxRetryAttemptsError",
        "InvalidProxiesConfigError",
        "InvalidRegionError",
        "InvalidRetryConfigurationError",
        "InvalidRetryModeError",
        "InvalidS3AddressingStyleError",
        "InvalidS3UsEast1RegionalEndpointConfigError",
        "InvalidSTSRegionalEndpointsConfigError",
        "InvalidSubscriberMethodError",
        "LoginAuthorizationCodeError",
        "LoginError",
        "LoginInsufficientPermissions",
        "LoginRefreshRequired",
        "LoginTokenLoadError",
        "MD5UnavailableError",
        "MissingDependencyException",
        "MissingParametersError",
        "MissingServiceIdError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "NoRegionError",
        "NoVersionFound",
        "OperationNotPageableError",
        "PaginationError",
        "ParamValidationError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "RangeError",
        "RefreshWithMFAUnsupportedError",
        "ResourceLoadException",
        "ResourceNotExistsError",
        "S3CopyFailedError",
        "S3TransferFailedError",
        "S3UploadFailedError",
        "S3ValidationError",
        "SSOError",
        "SSOTokenLoadError",
        "ServiceNotInRegionError",
        "StubAssertionError",
        "StubResponseError",
        "TokenRetrievalError",
        "TransferNotDoneError",
        "UnStubbedResponseError",
        "UnauthorizedSSOTokenError",
        "UndefinedModelAttributeError",
        "UnknownAPIVersionError",
        "UnknownClientMethodError",
        "UnknownCredentialError",
        "UnknownEndpointError",
        "UnknownEndpointResolutionBuiltInName",
        "UnknownFIPSEndpointError",
        "UnknownKeyError",
        "UnknownParameterError",
        "UnknownRegionError",
        "UnknownServiceError",
        "UnknownServiceStyle",
        "UnknownSignatureVersionError",
        "UnknownTokenProviderError",
        "UnseekableStreamError",
        "UnsupportedOutpostResourceError",
        "UnsupportedS3AccesspointConfigurationError",
        "UnsupportedS3ArnError",
        "UnsupportedS3ConfigurationError",
        "UnsupportedS3ControlArnError",
        "UnsupportedS3ControlConfigurationError",
        "UnsupportedServiceProtocolsError",
        "UnsupportedSignatureVersionError",
        "ValidationError",
        "WaiterConfigError",
        "WaiterError",
    ]
)

# Answers of a server are told apart by their code; a cancelled transfer is ours, and only ends with the process.
HANDLED_APART = frozenset({"ClientError", "CancelledError", "FatalError"})


def _classes(module: ModuleType) -> list[type[Exception]]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
    ]


CLASSES = sorted(
    {*_classes(botocore.exceptions), *_classes(boto3.exceptions), *_classes(s3transfer.exceptions)},
    key=lambda kind: (kind.__name__, kind.__module__),
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__.split('.')[0]}.{kind.__name__}")
def test_every_exception_is_named_as_retryable_or_final(kind: type[Exception]) -> None:
    if kind.__name__ in HANDLED_APART:
        return
    retryable = issubclass(kind, RETRYABLE)
    boto3_gave_up = kind is boto3.exceptions.RetriesExceededError
    known = retryable or kind.__name__ in KNOWN_FINAL or boto3_gave_up
    assert known, f"{kind.__name__} is new: say in RETRYABLE or here whether a later call may succeed"
    assert not (retryable and kind.__name__ in KNOWN_FINAL)
    assert issubclass(kind, (*RETRYABLE, *FINAL)), f"{kind.__name__} would leave untranslated"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__.split('.')[0]}.{kind.__name__}")
def test_every_exception_leaves_as_a_storage_error(kind: type[Exception]) -> None:
    if kind.__name__ in HANDLED_APART - {"ClientError"}:
        return
    error = kind.__new__(kind)  # their constructors want very different arguments
    Exception.__init__(error, "said so")
    error.__dict__.setdefault("response", {})
    with (
        pytest.raises(StorageError, match="could not read s3://bucket/key") as caught,
        translated("s3://bucket/key", "read"),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.retryable == issubclass(kind, RETRYABLE)


def refused(code: str, status: int) -> ClientError:
    reply = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(reply, "GetObject")  # type: ignore[arg-type]  # the stubs want every optional key


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable", "want"),
    [
        ("NoSuchKey", 404, NotFoundError, False, "it does not exist"),
        ("404", 404, NotFoundError, False, "it does not exist"),
        ("NoSuchBucket", 404, StorageError, False, "make the bucket"),
        ("AccessDenied", 403, StorageError, False, "let these credentials"),
        ("403", 403, StorageError, False, "let these credentials"),
        ("InvalidAccessKeyId", 403, StorageError, False, "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", 403, StorageError, False, "AWS_SECRET_ACCESS_KEY"),
        ("SlowDown", 503, StorageError, True, "SlowDown"),
        ("RequestTimeout", 400, StorageError, True, "RequestTimeout"),
        ("ConditionalRequestConflict", 409, StorageError, True, "ConditionalRequestConflict"),
        ("Whatever", 502, StorageError, True, "Whatever"),
        ("Whatever", 429, StorageError, True, "Whatever"),
        ("Whatever", 400, StorageError, False, "Whatever"),
        ("XMinioStorageFull", 507, DiskFullError, False, "disk of the S3 server is full"),
    ],
)
def test_refusal_is_told_by_its_code(
    code: str, status: int, kind: type[StorageError], retryable: bool, want: str
) -> None:
    with pytest.raises(StorageError, match=want) as caught, translated("s3://bucket/key", "read"):
        raise refused(code, status)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated("s3://bucket/key", "read"):
        _ = 1 / 0
