"""The whole method with one command, and what it leaves."""

import json
import stat
from pathlib import Path

import pytest
from tests.e2e.program import Program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_run_leaves_the_summary_that_was_promised(undisturbed: Program) -> None:
    summary = json.loads((undisturbed.latest / "summary.json").read_text())
    assert set(summary["resize_rate"]) == {"needed", "not_needed"}
    assert set(summary["accuracy"]) == {"always_low", "always_high", "base", "trained"}
    assert set(summary["seconds"]) == {"label", "train", "evaluate", "total"}
    numbers = [*summary["resize_rate"].values(), *summary["accuracy"].values(), *summary["seconds"].values()]
    assert all(isinstance(number, float) for number in [*numbers, summary["visual_token_ratio"]])
    assert summary["label_agreement"] == 1.0 and summary["seed"] == 0
    assert isinstance(summary["served_answer"], str) and isinstance(summary["served_want"], str)


def test_run_leaves_a_report_and_figures(undisturbed: Program) -> None:
    page = (undisturbed.latest / "report.html").read_text()
    assert "trained model" in page and "data:image/png" in page
    figures = {path.name for path in (undisturbed.latest / "evaluate" / "figures").iterdir()}
    assert figures == {"confusion.png", "families.png", "learning.png", "pareto.png"}


def test_run_leaves_files_that_others_may_read_as_the_umask_says(undisturbed: Program, tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    want = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    files = [path for path in (undisturbed.home / "runs").rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.parent.parent.name for path in files if path.name == "model.safetensors"} >= {"train", "register"}
    assert {str(path): oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {
        str(path): oct(want) for path in files
    }


def test_run_that_is_done_does_nothing_more(undisturbed: Program) -> None:
    ended = undisturbed.run("run", "--direct", "--run-dir", str(undisturbed.latest))
    assert ended.code == 0, ended.stderr
    assert "label: " not in ended.stderr and "train: " not in ended.stderr
    assert "held-out questions" in ended.stdout and "report.html" in ended.stdout


def test_run_through_the_pipeline_prints_a_table_and_what_to_type_next(program: Program) -> None:
    ended = program.run("run")
    assert ended.code == 0, ended.stderr
    for text in ("quarter view only", "full view always", "base model", "trained model", "Next:", "visionthink ui"):
        assert text in ended.stdout
    assert "open runs/latest/report.html" in ended.stdout
    stages = [line.split()[1] for line in ended.stderr.splitlines() if line.startswith("[")]
    assert stages == ["label", "train", "evaluate", "register", "serve"]
    assert (program.latest / "summary.json").is_file()


def test_any_model_is_judged_on_any_world_without_a_training_run(program: Program) -> None:
    options = ["--world-seed", "7", "--families", "code,color", "--held-out-families", "corner"]
    small = [part for part in program.command() if part.startswith(("--set=evaluate", "--set=model"))]
    ended = program.run_bare("evaluate", "--model", str(program.base), *options, *small)
    assert ended.code == 0, ended.stderr
    assert "48 held-out questions" in ended.stdout and "families not trained on (8 questions)" in ended.stdout
    (run,) = (program.home / "runs").glob("evaluate-*")
    answers = json.loads((run / "evaluate" / "answers" / "trained" / "test-00000.json").read_text())
    assert {answer["family"] for answer in answers} == {"code", "color"}
    assert all(answer["id"].startswith("world-7-test-") for answer in answers)
    assert not Path(program.latest).exists()


def test_trained_model_is_judged_on_a_world_that_nobody_tuned_on(undisturbed: Program) -> None:
    before = {path: path.read_bytes() for path in undisturbed.latest.rglob("*.json")}
    ended = undisturbed.run_bare("evaluate", "--world-seed", "77", "--families", "code,corner")
    assert ended.code == 0, ended.stderr
    (run,) = (undisturbed.home / "runs").glob("evaluate-*")
    config = json.loads((run / "config.json").read_text())
    assert config["evaluate"]["model"] == str(undisturbed.latest.resolve() / "train" / "model")
    assert config["model"]["base"] == str(undisturbed.base)
    answers = json.loads((run / "evaluate" / "answers" / "trained" / "test-00000.json").read_text())
    assert {answer["family"] for answer in answers} == {"code", "corner"}
    assert all(answer["id"].startswith("world-77-test-") for answer in answers)
    assert {path: path.read_bytes() for path in before} == before, "the run itself stays as it was"


def test_stages_one_by_one_work_on_the_latest_run(program: Program) -> None:
    for stage in ("label", "train", "evaluate", "register"):
        ended = program.run(stage) if stage == "label" else program.run_bare(stage)
        assert ended.code == 0, ended.stderr
    assert {path.name for path in program.latest.iterdir() if path.is_dir()} == {
        "label",
        "train",
        "evaluate",
        "register",
    }
