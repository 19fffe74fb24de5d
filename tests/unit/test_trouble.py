"""docs/trouble.md promises what is said; so its commands are typed and its lines compared."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "trouble.md"


class Entry(NamedTuple):
    """A command of the page and what it prints; `...` stands for anything."""

    command: str
    want: str


def entries() -> list[Entry]:
    blocks = re.findall(
        r"^```console\n\$ (.*?)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Entry(command, lines) for command, lines in blocks]


def pattern(want: str) -> str:
    return ".*".join(re.escape(part) for part in want.split("..."))


def test_every_command_of_the_page_is_found() -> None:
    assert len(entries()) == PAGE.read_text(encoding="utf-8").count("\n$ ") >= 10


@pytest.mark.slow
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.command[:50])
def test_page_says_what_the_program_says(entry: Entry, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    usual = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and "MLFLOW" not in name}
    done = subprocess.run(
        ["bash", "-c", entry.command],
        cwd=home,
        env={**usual, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert re.fullmatch(pattern(entry.want), done.stdout, re.DOTALL), done.stdout
    assert done.returncode == (2 if "error: " in entry.want else 0)
