"""Data sets as people have them, from the command line: what is read is said, and errors stay short."""

import base64
import io
import json
import random
from pathlib import Path

import pytest
from PIL import Image
from tests.e2e.program import Ended, Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

QUESTION = "what color is the shape ?"
MAX_ERROR = 420


def picture(seed: int, side: int = 112) -> bytes:
    file = io.BytesIO()
    pixels = random.Random(seed).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), pixels).save(file, format="PNG")
    return file.getvalue()


def write_rows(path: Path, images: list[str], *, answer: object = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"problem": QUESTION, "images": image, "original_answer": answer} for image in images]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def label(program: Program, source: Path, *settings: str) -> Ended:
    return program.run("label", f"--set=data.source={source}", *(f"--set={setting}" for setting in settings))


def labelled(program: Program) -> list[str]:
    lines = (program.latest / "label" / "labels.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


def error_of(ended: Ended, program: Program) -> str:
    """The one line of a command that was refused before a run was begun."""
    assert ended.code == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and len(line) < MAX_ERROR
    assert list(program.home.iterdir()) == []
    return line


def test_folder_as_people_have_it_is_labelled(tmp_path: Path, program: Program) -> None:
    """A link to a file, names of macOS, pictures in the rows, and next to it all that is no data."""
    names = ["Screenshot 9.41\u202fAM.png", "Sn\u00edmek v\u00a013.05.png"]
    for seed, name in enumerate(names):
        (tmp_path / "d" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / "images" / name).write_bytes(picture(seed))
    inline = f"data:image/png;name=a.png;base64,{base64.b64encode(picture(2, side=320)).decode()}"
    assert len(inline) > 400_000
    images = [f"./images//{names[0]}", str(tmp_path / "d" / "images" / names[1]), inline]
    write_rows(tmp_path / "blobs" / "x", images)
    (tmp_path / "d" / "t.jsonl").symlink_to("../blobs/x")
    for other in (".ipynb_checkpoints/t-checkpoint.jsonl", "._t.jsonl", "t.jsonl~", "t (1).jsonl", "_SUCCESS"):
        write_rows(tmp_path / "d" / other, ["gone.png"])
    ended = label(program, tmp_path / "d", "data.skip_bad=true")
    assert ended.code == 0, ended.stderr
    assert labelled(program) == ["t.jsonl:1", "t.jsonl:2", "t.jsonl:3"]
    told = [line for line in ended.stderr.splitlines() if line.startswith("data: ")]
    assert len(told) == 1 and "1 jsonl file, an unknown number of rows; left out: " in told[0]
    assert "2 (hidden, such as " in told[0] and len(told[0]) < MAX_ERROR
    assert len(ended.stderr) < 2000


def test_link_that_is_named_is_followed(tmp_path: Path, program: Program) -> None:
    write_rows(tmp_path / "blobs" / "x", ["0.png"])
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "snapshots" / "abc" / "0.png").write_bytes(picture(0))
    link = tmp_path / "snapshots" / "abc" / "t.jsonl"
    link.symlink_to("../../blobs/x")
    ended = label(program, link)
    assert ended.code == 0, ended.stderr
    assert labelled(program) == ["t.jsonl:1"]


@pytest.mark.parametrize(
    ("image", "want"),
    [
        ("data:image/png;base64," + "*" * 400_000, "base64 of the data URL is broken"),
        ("x" * 400_000, "is longer than"),
        ("/etc/passwd", "set data.images"),
        ("s3://somebody/else.png", "a bucket that was not opened"),
    ],
    ids=["data URL", "name", "absolute path", "bucket"],
)
def test_picture_that_cannot_be_read_gets_a_short_line(tmp_path: Path, program: Program, image: str, want: str) -> None:
    ended = label(program, write_rows(tmp_path / "d" / "t.jsonl", [image]))
    line = error_of(ended, program)
    assert want in line and "line 1 of t.jsonl" in line


def test_splits_are_refused_by_name_or_read_apart(tmp_path: Path, program: Program) -> None:
    for number, name in enumerate(("train-00000-of-00001.jsonl", "test-00000-of-00001.jsonl")):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"{number}.png").write_bytes(picture(number))
        write_rows(tmp_path / "d" / name, [f"{number}.png"])
    line = error_of(label(program, tmp_path / "d"), program)
    assert "test (test-0" in line and "train (train-0" in line and "data.split" in line
    ended = label(program, tmp_path / "d", "data.split=train", "data.eval_split=test")
    assert ended.code == 0, ended.stderr
    assert labelled(program) == ["train-00000-of-00001.jsonl:1"]
    assert [", split train" in line or ", split test" in line for line in ended.stderr.splitlines()[:2]] == [True, True]


def test_set_that_is_trained_on_is_not_evaluated_on(tmp_path: Path, program: Program) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    path = write_rows(tmp_path / "t.jsonl", ["0.png"])
    copy = write_rows(tmp_path / "holdout" / "copy.jsonl", [str(tmp_path / "0.png")])
    for other in (path, copy):
        ended = label(program, path, f"data.eval_source={other}", f"data.images={tmp_path}")
        assert "those to train on" in error_of(ended, program)


def test_gap_in_the_answers_is_a_bad_row(tmp_path: Path, program: Program) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    path = write_rows(tmp_path / "t.jsonl", ["0.png"], answer=float("nan"))
    assert "column 'original_answer' (the right answer) is empty" in error_of(label(program, path), program)
