"""docs/serving.md, block by block, against the program's own server: curl, Python's openai and JavaScript's openai."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from PIL import Image
from tests.e2e.program import PROGRAM, Program, end_group, wait_for

from visionthink.config import RunConfig

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAGE: Final = Path(__file__).parents[2] / "docs" / "serving.md"
URL: Final = "http://127.0.0.1:8000"
OPENAI_JS: Final = "openai@^6"


class Block(NamedTuple):
    """What is typed, in which language, and what it prints; `...` stands for anything."""

    language: str
    code: str
    want: str


def blocks() -> list[Block]:
    found = [Block("sh", *pair) for pair in typed()]
    told = re.findall(r"^```(python|js)\n(.*?)^```\n+```text\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    return found + [Block(*parts) for parts in told]


def typed() -> list[tuple[str, str]]:
    """The commands behind `$ `, each with its here-document and what it prints."""
    consoles = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    entries = [entry for console in consoles for entry in re.split(r"^\$ ", console, flags=re.M)[1:]]
    parts = [re.fullmatch(r"(.*?<<END\n.*?^END\n|.*?\n)(.*)", entry, re.M | re.S) for entry in entries]
    return [(part[1], part[2]) for part in parts if part]


def pattern(want: str) -> str:
    return ".*".join(re.escape(part) for part in want.split("..."))


@pytest.fixture(scope="module")
def endpoint(undisturbed: Program) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = undisturbed.start_command([str(PROGRAM), "serve", "--port", str(port)])
    try:
        wait_for(lambda: is_listening(port), process, what="the server")
        yield f"http://127.0.0.1:{port}"
    finally:
        end_group(process)
        process.communicate(timeout=30)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the picture that the page asks about."""
    folder = tmp_path_factory.mktemp("client")
    Image.new("RGB", (112, 112), "red").save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def node(home: Path) -> str:
    """Node, which finds the client in the folder."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("there is no node with npm here")
    try:
        done = said([npm, "install", "--no-audit", "--no-fund", "--no-save", OPENAI_JS], home, timeout_s=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not get {OPENAI_JS} in 120 s")
    if not (home / "node_modules" / "openai").is_dir():
        pytest.skip(f"npm cannot get {OPENAI_JS}: {done[-300:]}")
    return program


def said(command: Sequence[str], folder: Path, *, timeout_s: float = 60) -> str:
    return subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    ).stdout


def test_every_block_of_the_page_is_found() -> None:
    text = PAGE.read_text("utf-8")
    assert len(typed()) == text.count("\n$ ") >= 8
    assert (
        sum(block.language != "sh" for block in blocks()) == text.count("```text") == text.count("```python\n") * 2 == 4
    )


def test_the_page_names_settings_that_are_there() -> None:
    named = set(re.findall(r"`serve\.(\w+)`", PAGE.read_text("utf-8")))
    assert named and named <= set(type(RunConfig().serve).model_fields)


def test_the_page_starts_the_server_as_these_tests_do() -> None:
    assert "```sh\nvisionthink serve --port 8000\n```" in PAGE.read_text("utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_gets_what_the_page_says(endpoint: str, home: Path) -> None:
    # One after the other: the last one counts the answers that the first ones got.
    for command, want in typed():
        got = said(["bash", "-euo", "pipefail", "-c", command.replace(URL, endpoint)], home)
        assert re.fullmatch(pattern(want.strip()), got.strip(), re.S), (command, got)


@pytest.mark.parametrize("number", range(2))
def test_python_gets_what_the_page_says(endpoint: str, home: Path, number: int) -> None:
    block = [block for block in blocks() if block.language == "python"][number]
    got = said([sys.executable, "-c", block.code.replace(URL, endpoint)], home)
    assert re.fullmatch(pattern(block.want.strip()), got.strip(), re.S), got


@pytest.mark.parametrize("number", range(2))
def test_javascript_gets_what_the_page_says(endpoint: str, home: Path, node: str, number: int) -> None:
    block = [block for block in blocks() if block.language == "js"][number]
    (home / f"ask{number}.mjs").write_text(block.code.replace(URL, endpoint), encoding="utf-8")
    got = said([node, f"ask{number}.mjs"], home)
    assert re.fullmatch(pattern(block.want.strip()), got.strip(), re.S), got
