"""The pipeline through the real kfp.local, with stages that take no time."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionthink.pipelines.local import StageFailedError, StageRefusedError, run_local
from visionthink.pipelines.step import STAGE_VARIABLE
from visionthink.runs import STAGES

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def fake_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STAGE_VARIABLE, "tests.fakes.stage:run_stage")
    # A step finds tests.fakes there.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(tmp_path: Path, config: dict[str, str] | None = None) -> tuple[list[str], Path]:
    said: list[str] = []
    return said, run_local(json.dumps(config or {}), tmp_path / "run", say=said.append)


def test_local_run_goes_through_all_stages_and_says_only_what_matters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    said, artifacts = run(tmp_path)
    want = []
    for number, stage in enumerate(STAGES, start=1):
        want += [f"[{number}/5] {stage}", f"      {stage}: at work", "      done in"]
    assert [line.split(" in ")[0] + " in" if "done in" in line else line for line in said] == want
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    assert "executor_input" in (tmp_path / "run" / "pipeline" / "output.log").read_text()
    (home,) = artifacts.iterdir()
    assert (home / "evaluate" / "report").read_text() == "<p>report</p>"
    assert (home / "train" / "model" / "train" / "model" / "deep" / "weights.bin").exists()
    outputs = json.loads((home / "evaluate" / "executor_output.json").read_text())
    matrix = outputs["artifacts"]["asked"]["artifacts"][0]["metadata"]["confusionMatrix"]
    assert [row["row"] for row in matrix["rows"]] == [[9, 1], [0, 20]]
    metrics = outputs["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metrics == {"stage/wall_s/evaluate": 1.5}


ODD_NAMES = ["{{$}}", "{{$.pipeline_root}}", "python3", "kfp-workspace", 'it\'s "q" $(x) `y`', "ü ?#%41", "{{channel:"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_local_run_works_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    _, artifacts = run(tmp_path / name, {"note": name})
    assert artifacts == tmp_path / name / "run" / "pipeline" / "artifacts"
    (home,) = artifacts.iterdir()
    assert (home / "evaluate" / "report").read_text() == "<p>report</p>"
    assert json.loads((tmp_path / name / "run" / "note.json").read_text()) == name
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_local_run_finds_an_interpreter_whose_folder_has_a_blank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my tools").symlink_to(Path(sys.prefix))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my tools" / "bin" / "python"))
    run(tmp_path)
    assert sys.executable == str(tmp_path / "my tools" / "bin" / "python")


def test_local_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(StageFailedError):
        run(tmp_path, {"evaluate": "die"})
    said, _ = run(tmp_path)
    assert [line.strip() for line in said if "done before" in line] == ["label: done before", "train: done before"]


@pytest.mark.parametrize(
    ("how", "kind", "code", "want"),
    [
        ("refuse", StageRefusedError, 2, r"^stage train failed: train wants a better setting$"),
        (
            "crash",
            StageFailedError,
            1,
            r"^stage train failed: ZeroDivisionError: train has a bug \(all output ",
        ),
        ("die", StageFailedError, 1, r"(?s)^stage train ended without saying why.*train: at work"),
    ],
)
def test_local_run_tells_why_a_stage_failed(
    tmp_path: Path, how: str, kind: type[StageFailedError], code: int, want: str
) -> None:
    with pytest.raises(kind, match=want) as caught:
        run(tmp_path, {"train": how})
    assert type(caught.value) is kind and caught.value.exit_code == code


def test_local_run_forgets_the_failure_of_an_earlier_try(tmp_path: Path) -> None:
    with pytest.raises(StageRefusedError):
        run(tmp_path, {"label": "refuse"})
    with pytest.raises(StageFailedError, match="ended without saying why"):
        run(tmp_path, {"label": "die"})


def test_local_run_that_is_killed_takes_its_stage_along(tmp_path: Path) -> None:
    code = (
        'import sys; from visionthink.pipelines.local import run_local; run_local(\'{"label": "hang"}\', sys.argv[1])'
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 60
        note = tmp_path / "hanging"
        while not (note.exists() and note.read_text()) and time.monotonic() < deadline_s:
            assert process.poll() is None
            time.sleep(0.05)
        stage = os.pidfd_open(int(note.read_text()))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    ended, _, _ = select.select([stage], [], [], 20)
    os.close(stage)
    assert ended, "the stage outlived the run that started it"
