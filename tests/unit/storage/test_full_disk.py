"""A disk that is full for real: a limit on file sizes in a child process, and a small file system of its own."""

import json
import resource
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest

from visionthink.storage import DiskFullError, LocalStore, atomic_dir, atomic_write, atomic_write_json

ROOM_BYTES = 256 * 1024
BIG = bytes(4 * ROOM_BYTES)


def write(folder: Path) -> None:
    atomic_write(folder / "old", BIG)


def write_json(folder: Path) -> None:
    atomic_write_json(folder / "old", "x" * len(BIG))


def write_to_store(folder: Path) -> None:
    LocalStore(folder).write("old", BIG)


def create_in_store(folder: Path) -> None:
    LocalStore(folder).create("new", BIG)


def upload_to_store(folder: Path) -> None:
    source = Path(unicodedata.__file__)
    assert source.stat().st_size > 2 * ROOM_BYTES, "the source must be larger than the room"
    LocalStore(folder).upload("old", source)


def make_folder(folder: Path) -> None:
    with atomic_dir(folder / "new") as temporary:
        (temporary / "small").write_bytes(b"1")
        (temporary / "big").write_bytes(BIG)


WAYS: dict[str, Callable[[Path], None]] = {
    way.__name__: way for way in (write, write_json, write_to_store, create_in_store, upload_to_store, make_folder)
}


class Result(TypedDict):
    """What one way of writing ended with, and what it left in the folder."""

    error: str
    exit_code: int
    retryable: bool
    names: list[str]
    old: str


def fill(folder: Path) -> None:
    """Run in a child process: write more than fits in every way, print the results."""
    results: dict[str, Result] = {}
    for name, way in WAYS.items():
        try:
            way(folder)
        except DiskFullError as error:
            results[name] = {
                "error": str(error),
                "exit_code": error.exit_code,
                "retryable": error.retryable,
                "names": sorted(path.name for path in folder.rglob("*")),
                "old": (folder / "old").read_text(),
            }
    print(json.dumps(results))


def _results(command: list[str], folder: Path, before: Callable[[], None] | None = None) -> dict[str, Result]:
    code = (
        f"import importlib.util, pathlib; spec = importlib.util.spec_from_file_location('full_disk', {__file__!r}); "
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); "
        f"module.fill(pathlib.Path({str(folder)!r}))"
    )
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=before,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Result] = json.loads(done.stdout)
    return results


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What happens when no file may grow beyond the room."""
    folder = tmp_path_factory.mktemp("limited")
    (folder / "old").write_text("kept")
    return _results([], folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES)))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What happens in a file system of just that room, mounted where only the child sees it."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    folder = tmp_path_factory.mktemp("filled")
    mount = f'mount -t tmpfs -o size={ROOM_BYTES} none "$0" && printf kept > "$0/old"'
    try:
        probe = subprocess.run(
            [*namespace, "sh", "-c", mount, str(folder)], capture_output=True, timeout=30, check=False
        )
        allowed = probe.returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this machine does not let a user mount a file system in a namespace of its own")
    return _results([*namespace, "sh", "-c", f'{mount} && exec "$@"', str(folder)], folder)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("disk", "want"), [("limited", "the file outgrew the size limit"), ("filled", "the disk is full")]
)
def test_full_disk_leaves_nothing_half_written(request: pytest.FixtureRequest, disk: str, want: str, way: str) -> None:
    got: Result = request.getfixturevalue(disk)[way]
    assert got["error"].startswith(want)
    assert got["error"].endswith("nothing half-written was left. Make room, then run the same command again")
    assert (got["exit_code"], got["retryable"]) == (2, False)
    assert (got["names"], got["old"]) == (["old"], "kept")
