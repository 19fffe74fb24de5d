import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visionthink.cli.machine import check_folder, check_temporary, settle_in
from visionthink.errors import ConfigError

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(arguments: list[str], *, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """The program in a process of its own, with nothing of this environment but the path."""
    return subprocess.run(
        [sys.executable, "-m", "visionthink", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    "env",
    [ASCII, {**ASCII, "LC_ALL": "POSIX"}, {**ASCII, "LC_ALL": "", "LANG": "C"}, {"PYTHONIOENCODING": "ascii"}],
    ids=["C", "POSIX", "LANG", "streams alone"],
)
def test_locale_without_utf8_stands_in_nobodys_way(tmp_path: Path, env: dict[str, str]) -> None:
    folder = tmp_path / "prüfung"
    folder.mkdir()
    (folder / "größe.toml").write_text('[serve]\nmodel_name = "müller"\n', encoding="utf-8")
    done = run(["config", "--config", "größe.toml"], cwd=folder, HOME=str(tmp_path), **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'model_name = "m\\u00fcller"' in done.stdout


@pytest.mark.parametrize("locale", [ASCII, {"PYTHONIOENCODING": "ascii"}], ids=["C", "streams alone"])
def test_line_that_a_stream_cannot_show_is_told_all_the_same(tmp_path: Path, locale: dict[str, str]) -> None:
    folder = tmp_path / "prüfung"
    folder.mkdir()
    done = run(["run", "--set", "data.source=absent-ß.jsonl"], cwd=folder, HOME=str(tmp_path), **locale)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "absent-" in done.stderr and "a bug" not in done.stderr


def test_folder_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/m\xfcnchen"
    os.mkdir(folder)
    done = run(["run"], cwd=Path(os.fsdecode(folder)), HOME=str(tmp_path))
    assert done.returncode == 2
    assert "is no UTF-8" in done.stderr and "choose another with --run-dir" in done.stderr
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", ["line\nbreak", "tab\tin", "bell\a"])
def test_folder_whose_name_holds_control_characters_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="control characters"):
        check_folder(tmp_path / name, {})


def test_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    check_folder(tmp_path / "locked" / "runs" / "1", {})
    # The tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "locked")
    with pytest.raises(ConfigError, match=r"locked cannot be written, .*runs/1; choose a place with --run-dir"):
        check_folder(tmp_path / "locked" / "runs" / "1", {})


@pytest.mark.parametrize("place", ["absent", "a file"])
def test_temporary_folder_that_cannot_be_written_is_told_before_work_begins(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "here").mkdir()
    done = run(["run"], cwd=tmp_path / "here", HOME=str(tmp_path), TMPDIR=str(tmp_path / place))
    assert done.returncode == 2
    assert done.stderr.startswith("error: no temporary folder can be written: ") and "TMPDIR" in done.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_temporary_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_temporary({"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stderr", None)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_process_without_a_home_keeps_its_caches_in_the_temporary_folder(tmp_path: Path, home: str | None) -> None:
    env = {"TMPDIR": str(tmp_path), "HF_HOME": "/mine"} | ({} if home is None else {"HOME": home})
    settle_in(env)
    own = tmp_path / f"visionthink-{os.getuid()}"
    assert env["HOME"] == (home or str(own)) and own.stat().st_mode & 0o777 == 0o700
    assert env["MPLCONFIGDIR"] == str(own / "matplotlib") and env["HF_HOME"] == "/mine"


@pytest.mark.usefixtures("quiet")
def test_process_does_not_use_a_folder_that_somebody_laid_out_for_it(tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / f"visionthink-{os.getuid()}").symlink_to(tmp_path / "trap")
    env = {"TMPDIR": str(tmp_path)}
    settle_in(env)
    assert Path(env["HOME"]).parent == tmp_path and not Path(env["HOME"]).is_symlink()


@pytest.mark.usefixtures("quiet")
def test_process_with_a_home_is_left_as_it_is(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    settle_in(env)
    assert set(env) == {"HOME", "TMPDIR"} and list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quiet")
def test_user_without_an_entry_gets_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    env = {"HOME": str(tmp_path)}
    settle_in(env)
    assert env["USER"] == f"uid{os.getuid()}"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_line_of_results_that_a_stream_cannot_show_is_told_all_the_same(tmp_path: Path, encoding: str) -> None:
    code = "import os; from visionthink.cli.machine import settle_in; settle_in(os.environ); print('ü and 数学')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
        check=False,
    )
    want = "ü and 数学\n".encode(encoding, "backslashreplace")
    assert (done.returncode, done.stdout, done.stderr) == (0, want, b"")
