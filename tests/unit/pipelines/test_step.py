import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import visionthink
from visionthink.errors import DataError, StorageError
from visionthink.pipelines.artifact import publish, restore
from visionthink.pipelines.parent import PARENT_VARIABLE
from visionthink.pipelines.step import STAGE_VARIABLE, run_step

CONFIG = "{}"
VERSION = visionthink.__version__


@dataclass
class FakeArtifact:
    path: str
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass
class FakeMetrics:
    numbers: dict[str, float] = field(default_factory=dict)
    confusion: tuple[list[str], list[list[int]]] | None = None

    def log_metric(self, metric: str, value: float) -> None:
        self.numbers[metric] = value

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        assert len(categories) == len(matrix)
        self.confusion = categories, matrix


@pytest.fixture(autouse=True)
def fake_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STAGE_VARIABLE, "tests.fakes.stage:run_stage")
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    for variable in ("no_proxy", "NO_PROXY"):  # a step sets them; what stands here is taken back
        monkeypatch.setenv(variable, "")


@pytest.fixture
def artifact(tmp_path: Path) -> FakeArtifact:
    return FakeArtifact(str(tmp_path / "artifact"))


def files(folder: Path | str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_step_publishes_files_where_they_lie_in_the_run(tmp_path: Path, artifact: FakeArtifact) -> None:
    metrics = FakeMetrics()
    run_step("label", CONFIG, str(tmp_path / "run"), VERSION, output=artifact, metrics=metrics)
    assert set(files(artifact.path)) == {"label/dataset.parquet", "label/result.json"}
    assert artifact.metadata == {"stage": "label", "version": VERSION}
    assert metrics.numbers == {"stage/wall_s/label": 1.5}


def test_step_on_an_empty_disk_goes_on_from_the_artifacts(tmp_path: Path) -> None:
    labels, model = FakeArtifact(str(tmp_path / "labels")), FakeArtifact(str(tmp_path / "model"))
    run_step("label", CONFIG, str(tmp_path / "pod1"), VERSION, output=labels)
    run_step("train", CONFIG, str(tmp_path / "pod2"), VERSION, inputs=[labels], output=model)
    asked, page = FakeMetrics(), FakeArtifact(str(tmp_path / "page" / "report.html"))
    run_step("evaluate", CONFIG, str(tmp_path / "pod3"), VERSION, inputs=[labels, model], confusion=asked, html=page)
    assert files(tmp_path / "pod3")["train/model/deep/weights.bin"] == b"\0" * 100
    assert asked.confusion == (["asks for the full view", "answers from the quarter view"], [[9, 1], [0, 20]])
    assert Path(page.path).read_text() == "<p>report</p>"


def test_restore_leaves_a_stage_alone_that_is_done(tmp_path: Path, artifact: FakeArtifact) -> None:
    run = tmp_path / "run"
    run_step("label", CONFIG, str(run), VERSION, output=artifact)
    (run / "label" / "dataset.parquet").write_text("mine")
    restore(artifact, run)
    assert (run / "label" / "dataset.parquet").read_text() == "mine"


def test_restore_makes_good_what_a_killed_restore_left(tmp_path: Path, artifact: FakeArtifact) -> None:
    run_step("label", CONFIG, str(tmp_path / "run"), VERSION, output=artifact)
    half = tmp_path / "half"
    (half / "label").mkdir(parents=True)
    (half / "label" / "dataset.parquet").write_text("ha")
    restore(artifact, half)
    assert files(half) == files(artifact.path)


def test_restore_that_fails_leaves_the_stage_undone(tmp_path: Path, artifact: FakeArtifact) -> None:
    run_step("label", CONFIG, str(tmp_path / "run"), VERSION, output=artifact)
    (tmp_path / "other" / "label" / "dataset.parquet").mkdir(parents=True)
    with pytest.raises(StorageError):
        restore(artifact, tmp_path / "other")
    assert not (tmp_path / "other" / "label" / "result.json").exists()


def test_restore_refuses_an_empty_artifact(tmp_path: Path, artifact: FakeArtifact) -> None:
    with pytest.raises(DataError, match="is empty"):
        restore(artifact, tmp_path)


@pytest.mark.parametrize("place", ["s3://bucket/model", "train/model", "/elsewhere/model", "../other/model"])
def test_publish_only_names_what_the_stage_did_not_make(tmp_path: Path, artifact: FakeArtifact, place: str) -> None:
    publish({"artifacts": {"model": place}}, "register", tmp_path / "run", artifact)
    assert artifact.metadata["model"] == place
    assert files(artifact.path) == {}


def test_publish_copies_what_lies_at_the_top_of_the_run(tmp_path: Path, artifact: FakeArtifact) -> None:
    (tmp_path / "report.html").write_text("<p>")
    publish({"artifacts": {"report": "report.html"}}, "evaluate", tmp_path, artifact)
    assert files(artifact.path) == {"report.html": b"<p>"}


def test_publish_takes_absolute_places(tmp_path: Path, artifact: FakeArtifact) -> None:
    (tmp_path / "label").mkdir()
    (tmp_path / "label" / "a.txt").write_text("a")
    publish({"artifacts": {"a": str(tmp_path / "label" / "a.txt")}}, "label", tmp_path, artifact)
    assert files(artifact.path) == {"label/a.txt": b"a"}


@pytest.mark.parametrize(
    ("how", "want", "code"),
    [("refuse", "train wants a better setting", 2), ("crash", "ZeroDivisionError: train has a bug", 1)],
)
def test_step_tells_why_it_failed_and_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, want: str, code: int
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_step("train", json.dumps({"train": how}), str(tmp_path), VERSION)
    assert caught.value.code == code
    told = capsys.readouterr().err
    assert told.splitlines()[-1] == f"stage train failed: {want}"
    assert ("Traceback" in told) == (code == 1)
    kept: Mapping[str, object] = json.loads((tmp_path / "train" / "error.json").read_text())
    assert kept["message"] == want and kept["exit_code"] == code


def test_step_refuses_an_image_of_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_step("label", CONFIG, str(tmp_path), "0.0.0")
    assert caught.value.code == 2
    assert f"compiled with visionthink 0.0.0 but this image holds {VERSION}" in capsys.readouterr().err
    assert not (tmp_path / "label" / "dataset.parquet").exists()


def test_step_says_so_when_even_the_reason_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train").write_text("a file where the folder should be")
    with pytest.raises(SystemExit):
        run_step("train", '{"train": "refuse"}', str(tmp_path), VERSION)
    assert "no error.json could be written" in capsys.readouterr().err


def test_step_marks_its_lines_only_under_a_local_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_step("label", CONFIG, str(tmp_path / "a"), VERSION)
    assert "::" not in capsys.readouterr().out
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getpid()))
    run_step("label", CONFIG, str(tmp_path / "b"), VERSION)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("::visionthink begin:: label", "::visionthink end:: label")
