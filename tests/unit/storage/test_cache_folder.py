"""Entries that are there whole or not at all, whoever writes, dies or damages them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from visionthink.core.json_value import Json
from visionthink.errors import StorageError
from visionthink.storage.cache_folder import CacheFolder

KEY = "ab12"
VALUE: Json = {"text": "grün", "ids": [1, 2, 3], "none": None}


def entry(folder: Path) -> Path:
    (path,) = folder.glob("*/*.json")
    return path


def test_what_is_kept_is_found_by_whoever_opens_the_folder(tmp_path: Path) -> None:
    CacheFolder(tmp_path / "new").keep(KEY, VALUE)
    assert CacheFolder(tmp_path / "new").find(KEY) == VALUE


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert CacheFolder(tmp_path / "nowhere").find(KEY) is None


def test_a_later_value_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    entries = CacheFolder(tmp_path)
    entries.keep(KEY, 1)
    entries.keep(KEY, 2)
    assert entries.find(KEY) == 2


def test_an_entry_cut_at_any_byte_counts_as_missing(tmp_path: Path) -> None:
    entries = CacheFolder(tmp_path)
    entries.keep(KEY, VALUE)
    whole = entry(tmp_path).read_bytes()
    for size in range(len(whole)):
        entry(tmp_path).write_bytes(whole[:size])
        assert entries.find(KEY) is None, size


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data.replace(b"1", b"7"), id="other bytes"),
        pytest.param(lambda data: data + b" ", id="more bytes"),
        pytest.param(lambda data: bytes(len(data)), id="zeros, as after a power cut"),
        pytest.param(lambda data: b"\n", id="a line break"),
        pytest.param(lambda data: data[::-1], id="noise"),
    ],
)
def test_a_damaged_entry_counts_as_missing_and_is_written_anew(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    entries = CacheFolder(tmp_path)
    entries.keep(KEY, VALUE)
    entry(tmp_path).write_bytes(damage(entry(tmp_path).read_bytes()))
    assert entries.find(KEY) is None
    entries.keep(KEY, VALUE)
    assert entries.find(KEY) == VALUE


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"could not write .*file/ab/ab12\.json"):
        CacheFolder(tmp_path / "file").keep(KEY, VALUE)


def test_writers_that_are_killed_leave_whole_entries_alone(tmp_path: Path) -> None:
    """Two processes write the same keys without a pause, and die in the middle of it."""
    code = (
        "import itertools, pathlib, sys\n"
        "from visionthink.storage.cache_folder import CacheFolder\n"
        "entries = CacheFolder(pathlib.Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    entries.keep(f'{number % 50:04}', {'number': number % 50, 'text': 'x' * 20000})\n"
        "    if number == 200: print('on', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"on\n"
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    found = [CacheFolder(tmp_path).find(f"{number:04}") for number in range(50)]
    assert found == [{"number": number, "text": "x" * 20000} for number in range(50)]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    code = (
        "import pathlib, resource, sys\n"
        "from visionthink.storage import DiskFullError\n"
        "from visionthink.storage.cache_folder import CacheFolder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    CacheFolder(pathlib.Path(sys.argv[1])).keep('ab12', 'x' * 8192)\n"
        "except DiskFullError:\n"
        "    print('told')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "told\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
