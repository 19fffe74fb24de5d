"""Several public benchmarks by one command: a run for each, and one page of all."""

import json
from pathlib import Path

import pytest
from tests.e2e.program import Program
from tests.fakes.published_rows import ROWS, with_pictures, write_rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def mirrors(folder: Path, *names: str) -> Path:
    for name in names:
        write_rows(with_pictures(name, ROWS[name]), folder / name / "test-00000-of-00001.parquet")
    return folder


def small(program: Program) -> list[str]:
    return [part for part in program.command() if part.startswith(("--set=evaluate", "--set=model"))]


def test_each_benchmark_gets_a_run_and_all_lie_on_one_page(program: Program, tmp_path: Path) -> None:
    place = mirrors(tmp_path / "sets", "chartqa", "pope")
    options = ["--model", str(program.base), "--benchmark", "chartqa,pope", "--mirrors", str(place)]
    ended = program.run_bare("evaluate", *options, *small(program))
    assert ended.code == 0, ended.stderr
    runs = sorted((program.home / "runs").glob("evaluate-*"))
    asked = {json.loads((run / "config.json").read_text())["evaluate"]["benchmark"]: run for run in runs}
    assert asked.keys() == {"chartqa", "pope"}
    told = ended.stderr.rpartition("visionthink report ")[2].split()
    assert {Path(run).resolve() for run in told} == {run.resolve() for run in runs}
    laid = program.run_bare("report", *told, "--out", str(tmp_path / "page.html"))
    assert laid.code == 0, laid.stderr
    page = (tmp_path / "page.html").read_text()
    assert "chartqa" in page and "pope" in page


def test_a_benchmark_whose_rows_are_missing_is_refused_before_any_is_begun(program: Program, tmp_path: Path) -> None:
    place = mirrors(tmp_path / "sets", "chartqa")
    options = ["--model", str(program.base), "--benchmark", "chartqa,pope", "--mirrors", str(place)]
    ended = program.run_bare("evaluate", *options, *small(program))
    assert ended.code == 2 and "pope" in ended.stderr
    assert not list((program.home / "runs").glob("evaluate-*"))
