"""MLflow's sqlite file, whole or not there.

Rule: tables are made in a file beside it, which then takes its name. MLflow itself makes them in place, in some forty
migrations that take seconds; a process killed meanwhile, or a second one that starts at the same time, leaves a
database that nothing can open any more.
"""

import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, cast

from visionthink.errors import TrackingError
from visionthink.storage.key import TEMPORARY_PREFIX

_WAIT_S: Final = 120.0
"""Another process may be making the tables, on a busy machine."""
_POLL_S: Final = 0.1


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
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


def _has_tables(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in path.parent.glob(f"{TEMPORARY_PREFIX}*.db*"):  # by one that was killed: who works now holds the lock
        left.unlink(missing_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.db")
    try:
        store: Any = cast("Any", SqlAlchemyStore)(f"sqlite:///{temporary}", (path.parent / "mlartifacts").as_uri())
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
