"""A folder is complete when its manifest is there, and unchanged when its manifest agrees."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.errors import StorageError
from visionthink.storage import Manifest, NotFoundError, atomic_dir, is_complete, verify
from visionthink.storage.manifest import FileEntry, describe


@pytest.fixture
def published(tmp_path: Path) -> Path:
    with atomic_dir(tmp_path / "checkpoint") as folder:
        (folder / "weights").write_bytes(b"12345")
    return tmp_path / "checkpoint"


def test_describe_states_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert describe(tmp_path) == Manifest(files={"a": FileEntry(size_bytes=3, sha256=want)})


def test_describe_leaves_out_only_the_manifest_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("manifest.json", "sub/manifest.json", "z", "a"):
        (tmp_path / name).write_bytes(b"")
    assert list(describe(tmp_path).files) == ["a", "sub/manifest.json", "z"]


def test_describe_hashes_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"abc")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/weights").symlink_to(tmp_path / "blob")
    assert describe(tmp_path / "snapshot").files["weights"].size_bytes == 3


def test_verify_accepts_files_that_came_later(published: Path) -> None:
    (published / "notes.txt").write_text("added by a person")
    assert list(verify(published).files) == ["weights"]


@pytest.mark.parametrize("content", [b"1234", b"12346"], ids=["cut short", "changed"])
def test_verify_names_the_damaged_file(published: Path, content: bytes) -> None:
    (published / "weights").write_bytes(content)
    with pytest.raises(StorageError, match=r"checkpoint/weights has . bytes .* damaged or changed"):
        verify(published)


def test_verify_names_the_missing_file(published: Path) -> None:
    (published / "weights").unlink()
    with pytest.raises(NotFoundError, match="weights: it does not exist"):
        verify(published)


def test_folder_without_a_manifest_is_not_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    with pytest.raises(NotFoundError, match=r"is not complete: it has no manifest\.json"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"files": 3}', b'{"files": {"a": {}}}', b'{"files": {"a": 3}}', b"\xff"]
)
def test_manifest_of_another_program_is_a_storage_error(data: bytes) -> None:
    with pytest.raises(StorageError, match="s3://models/1 is no manifest of this platform"):
        Manifest.from_json(data, "s3://models/1")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**50)))
def test_manifest_round_trip(sizes: dict[str, int]) -> None:
    want = Manifest(files={name: FileEntry(size_bytes=size, sha256="0" * 64) for name, size in sorted(sizes.items())})
    got = Manifest.from_json(want.to_json(), "here")
    assert got == want
    assert list(got.files) == list(want.files)
