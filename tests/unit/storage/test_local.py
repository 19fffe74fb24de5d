"""What only a folder can do wrong: lead out of itself."""

from pathlib import Path

import pytest
from tests.fakes.unprivileged import unprivileged

from visionthink.errors import StorageError, UserError
from visionthink.storage import LocalStore, PermissionDeniedError


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


def test_link_that_the_user_named_leads_where_it_will(store: LocalStore, tmp_path: Path) -> None:
    (store.root / "link").symlink_to(tmp_path / "secret")
    (store.root / "other").symlink_to(tmp_path / "secret")
    named = LocalStore(store.root, named=frozenset({"link"}))
    assert named.read("link") == b"token"
    with pytest.raises(UserError, match=r"leads out of .* through a link"):
        named.read("other")


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A repository in Hugging Face's cache: files are links to their content."""
    repository = tmp_path / "datasets--mine"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "5d41").write_text("content")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc" / "data").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "data" / "x").symlink_to("../../../blobs/5d41")
    return repository / "snapshots" / "abc"


def test_snapshot_of_a_cache_is_read(snapshot: Path) -> None:
    assert LocalStore(snapshot).read("data/x") == b"content"
    assert LocalStore(snapshot / "data").read("x") == b"content"


def test_snapshot_leads_nowhere_but_to_its_own_blobs(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token")
    for name, target in (("up", tmp_path / "secret"), ("refs", snapshot.parent.parent / "refs" / "main")):
        (snapshot / name).symlink_to(target)
        with pytest.raises(UserError, match=r"leads out of .* through a link"):
            LocalStore(snapshot).read(name)


def test_closed_file_is_called_closed(store: LocalStore) -> None:
    store.write("folder/file", b"1")
    (store.root / "folder/file").chmod(0)
    with (
        unprivileged(),
        pytest.raises(PermissionDeniedError, match="permission denied: let this user read it") as caught,
    ):
        store.read("folder/file")
    assert caught.value.exit_code == 2
    (store.root / "folder").chmod(0)
    with unprivileged():
        for call in (store.exists, store.read, store.open):
            with pytest.raises(PermissionDeniedError, match=r"could not read file:.*folder/file: permission denied"):
                call("folder/file")
        with pytest.raises(PermissionDeniedError, match=r"could not list .*folder: permission denied"):
            list(store.list())
    (store.root / "folder").chmod(0o755)
