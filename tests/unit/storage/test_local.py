"""What only a folder can do wrong: lead out of itself."""

from pathlib import Path

import pytest

from visionthink.errors import StorageError, UserError
from visionthink.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "secret").write_text("token")
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store")


def test_link_to_a_file_outside_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (store.root / "link").symlink_to(tmp_path / "secret")
    for call in (store.read, store.open, store.exists, lambda key: store.write(key, b"")):
        with pytest.raises(UserError, match=r"leads out of .* through a link"):
            call("link")
    assert (tmp_path / "secret").read_text() == "token"


def test_link_to_a_folder_outside_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (store.root / "up").symlink_to(tmp_path)
    for call in (lambda: store.read("up/secret"), lambda: store.write("up/new", b"")):
        with pytest.raises(UserError, match=r"leads out of .* through a link"):
            call()
    assert not (tmp_path / "new").exists()
    assert list(store.list()) == []


def test_link_within_the_folder_is_followed(store: LocalStore) -> None:
    store.write("2026/a.png", b"1")
    (store.root / "latest").symlink_to("2026")
    assert store.read("latest/a.png") == b"1"


def test_root_may_itself_be_a_link(store: LocalStore, tmp_path: Path) -> None:
    store.write("key", b"1")
    (tmp_path / "alias").symlink_to(store.root)
    assert LocalStore(tmp_path / "alias").read("key") == b"1"


def test_links_in_a_circle_are_a_storage_error(store: LocalStore) -> None:
    (store.root / "loop").symlink_to("loop")
    for call in (store.read, store.open):
        with pytest.raises(StorageError, match=r"could not read .*/loop: Too many levels"):
            call("loop")


def test_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(store: LocalStore) -> None:
    (store.root / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match=r"could not list .*/loop: Too many levels"):
        list(store.list("loop/"))
