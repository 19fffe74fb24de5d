"""Who may ask: API keys, of which this program knows hashes only.

Rule: the file is TOML, mounted from a Secret, and holds for each key's name the SHA-256 of the key, never the key. It
is read again when it changes; one that cannot be read then changes nothing and is told in the log. A key is compared
with every hash there is, in constant time, and neither a key nor its hash reaches a log, a metric or an answer.
"""

import hashlib
import hmac
import logging
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from visionthink.errors import ConfigError
from visionthink.serving.api_error import ApiError
from visionthink.serving.quota import QuotaRule

_log = logging.getLogger(__name__)

_CHECK_EVERY_S: Final = 1.0
_HOW: Final = "make a hash with: printf %s KEY | sha256sum"

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class KeyEntry(BaseModel):
    """A key in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[tuple[_Hash, ...], Field(min_length=1)]
    """Hashes of the key; two while an old key is replaced by a new one."""
    max_in_flight: Annotated[int, Field(gt=0)] | None = None
    """Requests at a time; None: as the settings say."""
    requests_per_minute: Annotated[int, Field(gt=0)] | None = None
    """None: as the settings say."""


_FILE: Final = TypeAdapter(dict[_Name, KeyEntry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose key a request brought."""

    name: str
    rule: QuotaRule


class Keys:
    """The keys of one version of the file."""

    def __init__(self, entries: Mapping[str, KeyEntry], rule: QuotaRule) -> None:
        """`rule` holds where an entry says nothing."""
        self._callers = [
            (bytes.fromhex(digest), Caller(name=name, rule=_rule_of(entry, rule)))
            for name, entry in entries.items()
            for digest in entry.sha256
        ]
        self.names = frozenset(entries)

    def caller_of(self, key: str) -> Caller | None:
        """Whose `key` is; None when it is nobody's. Takes as long either way."""
        # Headers are read as Latin-1, whatever their bytes are: these are the bytes that were sent.
        given = hashlib.sha256(key.encode("latin-1", "backslashreplace")).digest()
        found = None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def read_keys(text: str, rule: QuotaRule) -> Keys:
    """The keys in the text of a file.

    Raises:
        ConfigError: it holds none, or no keys as they have to be.
    """
    try:
        entries = _FILE.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the keys are no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]  # what stands there may be a key itself
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"keys: {place}: {first['msg']}; {_HOW}") from error
    digests = [digest for entry in entries.values() for digest in entry.sha256]
    if not digests:
        raise ConfigError(f'there is no key; write [NAME] and below it sha256 = ["..."], {_HOW}')
    if len(set(digests)) < len(digests):
        raise ConfigError("two entries hold the same key; whose it is could not be told, so take one out")
    return Keys(entries, rule)


class KeyFile:
    """The keys of a file that may change."""

    def __init__(self, path: Path, rule: QuotaRule, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read `path`; `rule` holds where an entry says nothing.

        Raises:
            ConfigError: there is no such file, or it holds no keys.
        """
        self._path = path
        self._rule = rule
        self._clock = clock
        self._checked_s = clock()
        self._version = self._seen()
        self._keys = self._read()

    @property
    def keys(self) -> Keys:
        """The keys as the file has them, at most a second ago."""
        now_s = self._clock()
        if now_s - self._checked_s >= _CHECK_EVERY_S:
            self._checked_s = now_s
            self._look_again()
        return self._keys

    def _look_again(self) -> None:
        seen = self._seen()
        if seen == self._version:
            return
        self._version = seen
        try:
            self._keys = self._read()
            _log.info("%s changed: %d keys", self._path, len(self._keys.names))
        except ConfigError as error:
            _log.error("%s; the keys from before stay in force", error)

    def _seen(self) -> tuple[int, int, int] | None:
        # A mounted Secret changes by a link that leads elsewhere: the file is then another one.
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> Keys:
        try:
            return read_keys(self._path.read_text(encoding="utf-8"), self._rule)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the keys in {self._path} cannot be read: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{self._path}: {error}") from error


def caller_of(authorization: str, keys: Keys) -> Caller:
    """Whose key the header `authorization` holds.

    Raises:
        ApiError: 401, it holds none, or nobody's.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        text = "no API key was sent; send one in the header `Authorization: Bearer YOUR_KEY`"
        raise ApiError(401, text, code="missing_api_key")
    caller = keys.caller_of(key.strip())
    if caller is None:
        text = (
            "the API key is not one of this server's; send a valid one in the header `Authorization: Bearer YOUR_KEY`"
        )
        raise ApiError(401, text, code="invalid_api_key")
    return caller


def _rule_of(entry: KeyEntry, rule: QuotaRule) -> QuotaRule:
    return QuotaRule(
        max_in_flight=entry.max_in_flight or rule.max_in_flight,
        requests_per_minute=entry.requests_per_minute or rule.requests_per_minute,
    )
