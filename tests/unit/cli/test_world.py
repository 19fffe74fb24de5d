from pathlib import Path

import pytest
from PIL import Image

from visionthink.cli.app import run_command
from visionthink.datasets.parquet import read_samples


def test_world_writes_the_samples_that_were_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "mine.parquet"
    options = ["--split", "train", "--count", "6", "--world-seed", "7", "--families", "code,color"]
    assert run_command(["world", "--out", str(out), *options, "--needed-ratio", "0.5"]) == 0
    samples = list(read_samples(out))
    assert [sample.source for sample in samples] == ["world-train"] * 6
    assert sorted(sample.family for sample in samples) == ["code"] * 3 + ["color"] * 3


def test_world_draws_a_sheet_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look = tmp_path / "look.png"
    assert run_command(["world", "--look", str(look), "--count", "7"]) == 0
    with Image.open(look) as sheet:
        assert sheet.width == 12 + 6 * (224 + 12)
    assert str(look) in capsys.readouterr().err
