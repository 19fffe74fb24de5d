"""The commands that docs/use.md shows for the endpoint do what it says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.contract.serving.served import ANSWER, PICTURE, serving, twice

from visionthink.engines import ScriptedEngine

_TEXT = (Path(__file__).parents[3] / "docs" / "use.md").read_text(encoding="utf-8")
_SECTION = _TEXT.partition("## The endpoint\n")[2].partition("\n## ")[0]


def shown(language: str, url: str) -> str:
    """The section's one block of code in `language`, aimed at the server at `url`."""
    codes: list[str] = re.findall(rf"```{language}\n(.*?)```", _SECTION, re.DOTALL)
    (code,) = codes
    return code.replace("http://127.0.0.1:8000", url).replace('"visionthink"', '"tiny-v1"')


def test_the_python_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    PICTURE.save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    with serving(ScriptedEngine(twice)) as served:
        exec(compile(shown("python", served.url), "use.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith(ANSWER) and "'answer': 'A7'" in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_curl_that_is_shown(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "picture.png")
    with serving(ScriptedEngine(twice)) as served:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shown("console", served.url)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert '"role": "assistant"' in done.stdout and '"outcome": "answered"' in done.stdout
    assert done.stdout.rstrip().endswith("data: [DONE]")
