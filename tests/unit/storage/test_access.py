from pathlib import Path

import pytest
from tests.fakes.unprivileged import unprivileged

from visionthink.storage import PermissionDeniedError, check_readable


def made(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "weights").write_text("1")
    return folder


def test_open_folder_passes(tmp_path: Path) -> None:
    check_readable(made(tmp_path / "model"))
    check_readable(tmp_path / "absent")


@pytest.mark.parametrize("name", ["weights", "."])
def test_closed_file_or_folder_is_named(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path / "model")
    (folder / name).chmod(0)
    with (
        unprivileged(),
        pytest.raises(PermissionDeniedError, match=rf"could not read .*{name}: permission denied: let this user read"),
    ):
        check_readable(folder)
    (folder / name).chmod(0o700)


def test_link_to_nothing_is_left_to_the_reader(tmp_path: Path) -> None:
    (made(tmp_path / "model") / "link").symlink_to("gone")
    check_readable(tmp_path / "model")
