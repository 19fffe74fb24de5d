from pathlib import Path

import pytest

from visionthink.cli.app import run_command


def test_compile_writes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISIONTHINK_IMAGE", "example/image:7")
    target = tmp_path / "deep" / "p.yaml"
    assert run_command(["pipeline", "compile", "--out", str(target), "--env", "A=b=c"]) == 0
    assert "example/image:7" in target.read_text() and "b=c" in target.read_text()
    assert str(target) in capsys.readouterr().err


@pytest.mark.parametrize("given", ["A", "=b", "a b=c"])
def test_compile_refuses_what_is_no_variable(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    target = tmp_path / "p.yaml"
    assert run_command(["pipeline", "compile", "--out", str(target), "--env", given]) == 2
    assert "is not NAME=VALUE" in capsys.readouterr().err
    assert not target.exists()
