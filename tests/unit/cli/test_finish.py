import json
from pathlib import Path

import pytest
from tests.fakes.memory_tracker import MemoryTracker
from tests.unit.runs.test_summary import finished_run

from visionthink.cli import finish
from visionthink.cli.finish import record, show
from visionthink.core.json_value import Json
from visionthink.runs import RunFolder, StageResult, point_latest
from visionthink.runs.summary import summary_of
from visionthink.tracking import PIPELINE_STAGE, NullRegistry, Tracking


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["visionthink"])
    made = finished_run(tmp_path / "runs" / "run-1")
    metrics = {f"eval/latency_s/{name}": 0.01 for name in ("always_low", "always_high", "trained")}
    held_out: Json = {
        "num_samples": 120,
        "resize_rate": {"needed": 0.9, "not_needed": None},
        "accuracy": {"trained": 0.95},
    }
    facts = {**made.finished("evaluate").facts, "held_out": held_out}
    made.keep_result("evaluate", StageResult(metrics=metrics, facts=facts))
    made.report_path.write_text("<p>report</p>")
    return made


def test_show_prints_the_table_and_what_to_type_next(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    point_latest(folder)
    show(folder, summary_of(folder, total_s=430.0))
    told = capsys.readouterr().out
    for text in ("600 held-out questions", "trained model", "97.0%", "0.0% - 100.0%", "99.0%", "1.0%"):
        assert text in told
    assert (
        "families not trained on (120 questions): trained model 95.0% correct, asked on 90.0% of those that need it"
        in " ".join(told.split())
    )
    assert "version 4 promoted" in told
    assert "visionthink ui" in told and "visionthink serve" in told and "open runs/latest/report.html" in told


def test_show_names_what_failed_and_the_model_in_use_that_was_not_measured(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads(json.dumps(dict(folder.finished("evaluate").facts)))
    facts["rows"]["base"] |= {"num_failed": 3, "failures": {"connection refused": 2, "[timed out]": 1}}
    facts["incumbent"] |= {"state": "unmeasured", "reason": "nobody answers"}
    folder.keep_result("evaluate", StageResult(facts=facts))
    show(folder, summary_of(folder, total_s=430.0))
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "base model: 3 more questions stand in no figure, because engine or judge failed: "
        "connection refused (2), [timed out] (1)"
    ) in told
    assert "the model in use is not measured: nobody answers" in told


def test_show_names_a_run_that_is_not_the_latest(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    show(folder, summary_of(folder, total_s=430.0))
    assert "open runs/run-1/report.html" in capsys.readouterr().out


def test_show_names_a_run_that_lies_elsewhere(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    show(folder, summary_of(folder, total_s=430.0))
    told = capsys.readouterr().out
    assert f"visionthink ui --runs-dir {tmp_path}/runs " in told
    assert f"visionthink serve --run-dir {tmp_path}/runs/run-1 " in told


def test_show_says_that_no_registry_was_there(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    show(folder, {**summary_of(folder, total_s=430.0), "model_version": None, "promoted": False})
    assert "no registry was there to hold it" in capsys.readouterr().out


def test_record_puts_the_headline_on_the_run_itself(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = MemoryTracker()
    tracking = Tracking(tracker=tracker, registry=NullRegistry())
    monkeypatch.setattr("visionthink.stage.tracking_of", lambda config, folder, env: tracking)
    record(folder, folder.config(), summary_of(folder, total_s=430.0))
    run = tracker.runs["run-1", PIPELINE_STAGE]
    assert run.finals["stage/wall_s/total"] == 430.0
    assert run.finals["eval/latency_s/trained"] == 0.01
    assert set(run.artifacts) == {"summary.json", "report.html"}
    assert not folder.summary_path.exists(), "the run is done only after this"


@pytest.mark.parametrize(
    ("started_as", "want"),
    [("env/bin/visionthink", "env/bin/visionthink"), ("/usr/lib/pytest/__main__.py", "visionthink")],
    ids=["a program that is not on the path", "something else that called us"],
)
def test_next_commands_name_a_program_that_is_there(
    started_as: str, want: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finish._program(started_as) == want
