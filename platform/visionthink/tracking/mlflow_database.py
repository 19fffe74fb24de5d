"""MLflow's sqlite file, whole or not there.

Rule: tables are made in a file beside it, which then takes its name. MLflow itself makes them in place, in some forty
migrations that take seconds; a process killed meanwhile, or a second one that starts at the same time, leaves a
database that nothing can open any more. Artifacts lie beside the file. MLflow keeps absolute addresses of them, so when
the folder was moved or copied, these are set right before anything is read or written.
"""

import contextlib
import fcntl
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from visionthink.errors import TrackingError
from visionthink.storage.key import TEMPORARY_PREFIX

ARTIFACTS: Final = "mlartifacts"
"""Folder beside the database."""

_ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps absolute addresses of artifacts."""
_SQLITE: Final = re.compile(r"sqlite(\+\w+)?:///(?P<place>[^?]+)")
_WAIT_S: Final = 120.0
"""Another process may be making the tables, on a busy machine."""
_POLL_S: Final = 0.1


def sqlite_uri(path: Path) -> str:
    """The address of a database in a file, whatever its folders are called."""
    text = str(path)
    # Quoted whole, slashes too: mlflow makes the folder that the unquoted text names, which would be another one.
    return f"sqlite:///{quote(text, safe='') if '?' in text or '%' in text else text}"


def database_of(uri: str) -> Path | None:
    """The file that a sqlite address names; None for any other address."""
    found = _SQLITE.match(uri)
    return None if found is None or found["place"] == ":memory:" else Path(unquote(found["place"])).absolute()


def ready_database(path: Path) -> None:
    """Make the database if there is none, else fail at once if it cannot be opened: mlflow would try for 100 seconds.

    Raises:
        TrackingError: another process is at it for too long.
        OSError, sqlite3.Error: there cannot be a database in this place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _has_tables(path):
        with _locked(path.with_name(f".{path.name}.lock")):
            if not _has_tables(path):
                _make(path)
    follow_move(path)


def follow_move(path: Path) -> None:
    """Let the addresses of artifacts lead to the folder where the database lies now.

    Raises:
        OSError, sqlite3.Error: it cannot be opened.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
        database.execute("BEGIN IMMEDIATE")
        _rename_root(database, (path.parent / ARTIFACTS).as_uri())
        database.commit()


def _rename_root(database: sqlite3.Connection, root: str) -> None:
    """Let all addresses below the folder in which the database was made begin with `root`.

    The experiment that MLflow makes together with the tables tells which folder that was. In a database that somebody
    else made it lies elsewhere, and nothing is changed.
    """
    columns = [(table, column) for table, column in _ADDRESSES if column in _columns(database, table)]
    if not columns:
        return
    row = database.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    made_in = str(row[0] or "").removesuffix("/0") if row else ""
    if made_in == root or not (made_in.startswith("file:") and made_in.endswith(f"/{ARTIFACTS}")):
        return
    for table, column in columns:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (root, len(made_in) + 1, len(made_in) + 1, f"{made_in}/"),
        )


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}


def _has_tables(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in path.parent.glob(f"{TEMPORARY_PREFIX}*.db*"):  # by one that was killed: who works now holds the lock
        left.unlink(missing_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.db")
    try:
        store: Any = cast("Any", SqlAlchemyStore)(sqlite_uri(temporary), (path.parent / ARTIFACTS).as_uri())
        store.engine.dispose()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold a lock that ends with this process, however that ends."""
    end_s = time.monotonic() + _WAIT_S
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end_s:
                    raise TrackingError(
                        f"another process has been making the tables of {path.parent} for {_WAIT_S:.0f} s",
                        retryable=True,
                    ) from None
                time.sleep(_POLL_S)
        yield
