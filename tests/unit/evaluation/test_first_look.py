"""The candidate with the first-look shortcut, as a contender of its own."""

import json
from pathlib import Path

import pytest
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.core.first_look import CallForecast
from visionthink.errors import DataError
from visionthink.evaluation.stage import evaluate_with
from visionthink.runs import StageResult
from visionthink.samples import samples_to_evaluate

# Wordings of `mark` speak of letters, those of `color` do not.
LETTERS = CallForecast(bias=-4.0, weights={"letter": 30.0})


@pytest.fixture
def maker(tmp_path: Path) -> TaskMaker:
    return task_maker(tmp_path / "run-1")


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "first_look.json").write_text(json.dumps(LETTERS.to_dict()))
    return folder


def evaluated(maker: TaskMaker, candidate: Path) -> StageResult:
    tests = samples_to_evaluate(maker.config)
    samples = [*tests.samples, *tests.held_out]
    return evaluate_with(
        lambda contender: seeing_engine(samples), base=Path("base"), candidate=candidate, task=maker.task("evaluate")
    )


def test_shortcut_is_measured_beside_the_candidate(maker: TaskMaker, candidate: Path) -> None:
    found = evaluated(maker, candidate)
    # Two of six questions need the full view: 20 tokens when asked for, 16 when shown at once; the others cost 4.
    tokens = {name: found.metrics[f"eval/visual_tokens_mean/{name}"] for name in ("trained", "first_look")}
    assert tokens == pytest.approx({"trained": (4 * 4 + 2 * 20) / 6, "first_look": (4 * 4 + 2 * 16) / 6})
    assert found.metrics["eval/accuracy/first_look"] == 1.0
    assert found.metrics["eval/resize_rate/first_look"] == 0.0
    assert found.metrics["eval/shortcut_rate/first_look"] == pytest.approx(2 / 6)
    assert "eval/shortcut_rate/trained" not in found.metrics
    page = maker.folder.report_path.read_text()
    assert "trained, with shortcut" in page and "begins with the full view on 33.3% of the questions" in page


def test_shortcut_leaves_the_figures_of_the_candidate_as_they_are(maker: TaskMaker, candidate: Path) -> None:
    with_shortcut = evaluated(maker, candidate)
    (candidate / "first_look.json").unlink()
    plain = evaluated(task_maker(maker.folder.path.parent / "run-2"), candidate)
    own = {key for key in with_shortcut.metrics if "first_look" in key.split("/")}
    assert own and with_shortcut.metrics.keys() - own == plain.metrics.keys()
    for fact in ("visual_token_ratio", "accuracy_ratio", "gate"):
        assert with_shortcut.facts[fact] == plain.facts[fact]
    assert with_shortcut.confusion == plain.confusion


def test_shortcut_can_be_left_out(candidate: Path, tmp_path: Path) -> None:
    found = evaluated(task_maker(tmp_path / "run-3", {"first_look.evaluated": False}), candidate)
    assert not any("first_look" in key for key in found.metrics)


def test_damaged_forecast_ends_the_stage_before_it_asks(maker: TaskMaker, candidate: Path) -> None:
    (candidate / "first_look.json").write_text("{")
    with pytest.raises(DataError, match="or remove the file to do without the first-look shortcut"):
        evaluated(maker, candidate)
