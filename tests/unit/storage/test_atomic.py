"""Files and folders appear whole or not at all: when the block fails, the disk is full, or the process is killed."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visionthink.errors import StorageError
from visionthink.storage import (
    LocalStore,
    atomic_dir,
    atomic_open,
    atomic_write,
    atomic_write_json,
    is_complete,
    verify,
)


def names(folder: Path) -> list[str]:
    """Everything below a folder, hidden and unfinished files too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_atomic_write_makes_parents_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a/b/file"
    atomic_write(target, b"first")
    atomic_write(target, b"second")
    assert target.read_bytes() == b"second"
    assert names(tmp_path) == ["a", "a/b", "a/b/file"]


def test_atomic_write_gives_the_usual_permissions(tmp_path: Path) -> None:
    atomic_write(tmp_path / "ours", b"")
    (tmp_path / "usual").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0], ids=oct)
def test_atomic_dir_gives_the_usual_permissions_to_what_libraries_made(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_dir(tmp_path / "model") as folder:
            # Weights are often written by way of a temporary file, and copies keep the mode of what they are copies of.
            (folder / "sub").mkdir(mode=0o700)
            for name, mode in (("weights", 0o600), ("sub/copy", 0o444), ("plain", 0o666)):
                (folder / name).touch()
                (folder / name).chmod(mode)
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    files = dict.fromkeys(("weights", "sub/copy", "plain", "manifest.json"), 0o666 & ~mask)
    want = {f"model/{name}": mode for name, mode in files.items()}
    assert modes == {**want, "model": 0o777 & ~mask, "model/sub": 0o777 & ~mask}


def test_atomic_dir_leaves_alone_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").touch()
    (tmp_path / "outside").chmod(0o400)
    with atomic_dir(tmp_path / "model") as folder:
        (folder / "link").symlink_to(tmp_path / "outside")
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o400


def test_atomic_open_shows_nothing_before_its_end(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic_write(target, b"old")
    with atomic_open(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
        assert list(LocalStore(tmp_path).list()) == ["file"]
    assert target.read_bytes() == b"new"


def test_atomic_open_leaves_nothing_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic_write(target, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_open(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_atomic_open_passes_other_errors_of_the_block_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_open(tmp_path / "copy"):
        (tmp_path / "no_source").read_bytes()


def test_atomic_open_without_replace_keeps_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic_write(target, b"old")
    with pytest.raises(FileExistsError), atomic_open(target, replace=False) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_atomic_write_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"could not write .*file/below"):
        atomic_write(tmp_path / "file/below", b"")
    with pytest.raises(StorageError, match=r"could not write .*file/below"):
        LocalStore(tmp_path).create("file/below", b"")


def test_atomic_write_over_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "folder/child").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"could not write .*folder: Is a directory"):
        atomic_write(tmp_path / "folder", b"")
    assert names(tmp_path) == ["folder", "folder/child"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=_JSON)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_round_trip(tmp_path: Path, value: object) -> None:
    try:
        atomic_write_json(tmp_path / "value.json", value)
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text
    assert json.loads((tmp_path / "value.json").read_bytes()) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}], ids=["nan", "inf", "object"])
def test_json_that_cannot_be_said_writes_nothing(tmp_path: Path, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        atomic_write_json(tmp_path / "value.json", value)
    assert names(tmp_path) == []


def test_atomic_dir_appears_with_its_manifest(tmp_path: Path) -> None:
    target = tmp_path / "runs/checkpoint"
    with atomic_dir(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub/weights").write_bytes(b"12345")
        assert not target.exists()
        assert list(LocalStore(tmp_path).list()) == []
    assert names(tmp_path / "runs") == [
        "checkpoint",
        "checkpoint/manifest.json",
        "checkpoint/sub",
        "checkpoint/sub/weights",
    ]
    assert is_complete(target)
    assert verify(target).files["sub/weights"].size_bytes == 5


def test_atomic_dir_leaves_nothing_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_dir(tmp_path / "checkpoint") as folder:
        (folder / "weights").write_bytes(b"half")
        raise RuntimeError
    assert names(tmp_path) == []


def test_atomic_dir_refuses_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(StorageError, match="checkpoint exists already"), atomic_dir(tmp_path / "checkpoint"):
        pytest.fail("the block ran")


def test_atomic_dir_refuses_a_name_that_was_taken_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="checkpoint exists already"), atomic_dir(tmp_path / "checkpoint") as folder:
        (folder / "weights").write_bytes(b"late")
        with atomic_dir(tmp_path / "checkpoint") as other:
            (other / "weights").write_bytes(b"early")
    assert names(tmp_path) == ["checkpoint", "checkpoint/manifest.json", "checkpoint/weights"]
    assert (tmp_path / "checkpoint/weights").read_bytes() == b"early"


def test_atomic_dir_replaces_only_when_asked(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        with atomic_dir(tmp_path / "best", replace=True) as folder:
            (folder / content.decode()).write_bytes(content)
    assert names(tmp_path) == ["best", "best/manifest.json", "best/second"]


def test_atomic_dir_that_fails_to_replace_keeps_the_old_one(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "best") as folder:
        (folder / "weights").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_dir(tmp_path / "best", replace=True):
        raise RuntimeError
    assert list(verify(tmp_path / "best").files) == ["weights"]


def test_atomic_dir_puts_the_old_one_back_when_the_swap_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_dir(tmp_path / "best") as folder:
        (folder / "weights").write_bytes(b"old")
    rename = Path.rename

    def failing_once(self: Path, target: Path) -> Path:
        if (self / "manifest.json").exists() and (self / "new").exists():
            raise OSError(errno.EIO, "the disk broke")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing_once)
    with (
        pytest.raises(StorageError, match="the disk broke") as caught,
        atomic_dir(tmp_path / "best", replace=True) as folder,
    ):
        (folder / "new").write_bytes(b"new")
    assert caught.value.retryable
    assert names(tmp_path) == ["best", "best/manifest.json", "best/weights"]


@pytest.mark.parametrize(
    "work",
    [
        "with atomic_open(root / 'old') as file: file.write(b'half'); file.flush(); die()",
        "with atomic_dir(root / 'new') as folder: (folder / 'half').write_bytes(b'half'); die()",
    ],
    ids=["atomic_open", "atomic_dir"],
)
def test_killed_process_leaves_nothing_that_is_listed(tmp_path: Path, work: str) -> None:
    (tmp_path / "old").write_text("kept")
    code = (
        "import os, pathlib, signal\nfrom visionthink.storage import atomic_dir, atomic_open\n"
        f"root = pathlib.Path({str(tmp_path)!r})\ndie = lambda: os.kill(os.getpid(), signal.SIGKILL)\n{work}"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "old").read_text() == "kept"
    assert not (tmp_path / "new").exists()
    assert list(LocalStore(tmp_path).list()) == ["old"]


def test_unwritable_folder_is_a_storage_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # the superuser may write everywhere but here
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o555)
    with pytest.raises(StorageError, match="could not write") as caught:
        atomic_write(folder / "file", b"")
    assert not caught.value.retryable
