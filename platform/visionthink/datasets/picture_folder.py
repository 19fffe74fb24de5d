r"""Where pictures lie that a row names by path.

Rule: a row is somebody else's text. It may name pictures below the folder that the user opened and objects of a bucket
that the user opened, and nothing else of this machine or of these credentials. Within that it is read as people write
paths: "./a.png", "a//b.png", "a\b.png", an absolute path below the folder, a name whose accents are composed on one
machine and decomposed on another.
"""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from visionthink.core.excerpt import excerpt, shown
from visionthink.errors import DataError
from visionthink.storage import LocalStore, NotFoundError, Reader, open_store


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """The pictures below a store, and those of the buckets of `opened` by URI."""

    store: Reader
    opened: tuple[Reader, ...] = ()
    """Other stores that the user named: the data set's own."""
    _buckets: dict[str, Reader] = field(default_factory=dict, repr=False, compare=False)

    def read(self, path: str, *, beside: str = "") -> bytes:
        """Return the encoded picture at `path`, else at `path` below the folder `beside`.

        Raises:
            UserError: the path leads out of what the user opened, or there is no such picture.
            StorageError: the store failed.
        """
        store, key = self._located(path)
        for candidate in _spellings(key, beside):
            try:
                return store.read(candidate)
            except NotFoundError:
                continue
        raise DataError(f"there is no picture {shown(key)} in {excerpt(store.uri, 120)}; add it or drop the row")

    def _located(self, path: str) -> tuple[Reader, str]:
        scheme, colon, rest = path.partition("://")
        if colon and scheme.lower() == "s3":
            bucket, _, key = rest.partition("/")
            return self._in_bucket(path, bucket, key)
        if colon and scheme.lower() == "file":
            return self.store, self._below(unquote(urlsplit(path).path))
        if colon and scheme.isalnum():
            raise DataError(
                f"the picture {shown(path)} is an address; pictures are not fetched from the web: download it and name "
                "the file"
            )
        return self.store, self._below(path) if path.startswith("/") else _tidied(path)

    def _in_bucket(self, uri: str, bucket: str, key: str) -> tuple[Reader, str]:
        """Only of buckets that the user named: the credentials may open others, which no row may use."""
        for store in (self.store, *self.opened):
            if uri.startswith(f"{store.uri}/"):
                return store, uri.removeprefix(f"{store.uri}/")
        named = {store.uri.split("/")[2] for store in (self.store, *self.opened) if store.uri.startswith("s3://")}
        if bucket not in named:
            raise DataError(
                f"the picture {shown(uri)} lies in a bucket that was not opened; set data.images to s3://{bucket[:63]}"
            )
        if bucket not in self._buckets:
            self._buckets[bucket] = open_store(f"s3://{bucket}")
        return self._buckets[bucket], key

    def _below(self, path: str) -> str:
        """Return the key of an absolute path."""
        if isinstance(self.store, LocalStore):
            root = self.store.root.absolute()
            plain = Path(os.path.normpath(path))
            # The folder may have been named by way of a link, and the pictures not, or the other way round.
            real = Path(os.path.realpath(plain.parent), plain.name)
            for place, base in ((plain, root), (real, Path(os.path.realpath(root)))):
                if place.is_relative_to(base):
                    return place.relative_to(base).as_posix()
        raise DataError(
            f"the picture {shown(path)} does not lie below {excerpt(self.store.uri, 100)}; set "
            "data.images to the folder that holds all pictures, or use a relative path"
        )


def _tidied(path: str) -> str:
    """Return a relative path without empty and '.' parts."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise DataError(
            f"the picture {shown(path)} reaches upwards; set data.images to the folder that holds all pictures, and "
            "use a relative path"
        )
    return "/".join(names)


def _spellings(key: str, beside: str) -> Iterator[str]:
    """Yield the keys under which a picture may be found, the one that was written first."""
    written = [key, f"{beside}/{key}"] if beside else [key]
    seen: set[str] = set()
    for one in written:
        forms = [one] if one.isascii() else [one, *(unicodedata.normalize(form, one) for form in ("NFC", "NFD"))]
        slashed = [_tidied(form.replace("\\", "/")) for form in forms if "\\" in form]
        for form in (*forms, *slashed):
            if form not in seen:
                seen.add(form)
                yield form
