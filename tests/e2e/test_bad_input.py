"""What a user can do wrong: one clear line, exit code 2, nothing half-written."""

import io
import json
import socket
from pathlib import Path

import pytest
from PIL import Image
from tests.e2e.program import Program, leftovers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def picture(side: int = 112) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, format="PNG")
    return file.getvalue()


def data_set(folder: Path, pictures: list[bytes], *, without: str = "") -> Path:
    """Rows as JSONL beside their pictures."""
    folder.mkdir()
    lines = []
    for index, data in enumerate(pictures):
        (folder / f"{index}.png").write_bytes(data)
        row = {"problem": "what color is the shape ?", "images": f"{index}.png", "original_answer": "red"}
        lines.append(json.dumps({key: value for key, value in row.items() if key != without}))
    (folder / "mine.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder / "mine.jsonl"


@pytest.mark.parametrize(
    ("pictures", "without", "want"),
    [
        pytest.param([picture(9000)], "", "9000x9000 = 81000000 pixels", id="huge picture"),
        pytest.param([picture()], "original_answer", "column 'original_answer' is missing", id="missing column"),
        pytest.param([], "", "holds no rows", id="empty data set"),
    ],
)
@pytest.mark.parametrize("command", ["label", "run"])
def test_bad_data_set_is_refused_before_a_run_is_begun(
    tmp_path: Path, program: Program, command: str, pictures: list[bytes], without: str, want: str
) -> None:
    path = data_set(tmp_path / "data", pictures, without=without)
    ended = program.run(command, f"--set=data.source={path}")
    assert ended.code == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and want in line
    assert list(program.home.iterdir()) == []


def test_bad_row_further_down_is_named(tmp_path: Path, program: Program) -> None:
    path = data_set(tmp_path / "data", [picture(), picture()[:150]])
    ended = program.run("label", f"--set=data.source={path}")
    assert ended.code == 2, ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "line 2 of mine.jsonl" in errors[0]
    assert "Traceback" not in ended.stderr
    made = {path.name for path in (program.latest / "label").iterdir()}
    assert made <= {".lock", "error.json", "seconds.json"}
    assert json.loads((program.latest / "label" / "error.json").read_text())["exit_code"] == 2
    assert leftovers(program.home) == []


def test_bad_row_ends_the_whole_pipeline_with_the_stage_s_own_words(tmp_path: Path, program: Program) -> None:
    path = data_set(tmp_path / "data", [picture(), picture()[:150]])
    ended = program.run("run", f"--set=data.source={path}")
    assert ended.code == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: stage label failed: ")
    assert "line 2 of mine.jsonl" in ended.stderr.splitlines()[-1]


def nobody_there() -> str:
    """An address where nothing listens: it was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_tracker_that_is_down_is_told_and_survived(program: Program) -> None:
    ended = program.run("label", f"--set=tracking.uri={nobody_there()}", "--set=tracking.timeout_s=1")
    assert ended.code == 0, ended.stderr
    told = [line for line in ended.stderr.splitlines() if line.startswith("tracking: ")]
    assert len(told) == 1 and "nothing answers there" in told[0] and "going on without it" in told[0]
    (missed,) = (program.latest / "missed").iterdir()
    assert '"label/num_samples"' in missed.read_text()


def test_tracker_that_is_required_and_down_ends_the_run(program: Program) -> None:
    down = [f"--set=tracking.uri={nobody_there()}", "--set=tracking.timeout_s=1", "--set=tracking.required=true"]
    ended = program.run("label", *down)
    assert ended.code == 2, ended.stderr
    assert "nothing answers there" in ended.stderr and "tracking.required" in ended.stderr
    assert not (program.latest / "label" / "shards").exists()


@pytest.mark.parametrize(("stage", "limit_bytes"), [("label", 20_000), ("train", 300_000)])
def test_full_disk_is_told_and_gone_on_from(program: Program, stage: str, limit_bytes: int) -> None:
    # MLflow keeps a database that outgrows the limit, so these runs do without it.
    quiet = Program(
        home=program.home,
        base=program.base,
        settings={"tracking.uri": nobody_there(), "tracking.timeout_s": 1},
    )
    if stage == "train":
        assert quiet.run("label").code == 0
    full = quiet.run(stage, file_limit_bytes=limit_bytes)
    assert full.code == 2, full.stderr
    assert "size limit" in full.stderr and "run the same command again" in full.stderr
    assert not (program.latest / stage / "result.json").exists()
    assert leftovers(program.latest / stage) == []
    again = quiet.run(stage)
    assert again.code == 0, again.stderr
