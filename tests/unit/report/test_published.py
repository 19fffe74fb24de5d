"""The paper's table beside ours: its units, its lines, and what was put right."""

import dataclasses

import pytest
from tests.fakes.report_input import benchmarks

from visionthink.core.gate import ContenderRole
from visionthink.report.published import PUBLISHED, TITLES, Comparison, compared_with_paper, paper_score, score_text
from visionthink.report.record import BenchmarkFigures

CHARTQA, MME, POPE, WORLD = benchmarks()


def compared(*among: BenchmarkFigures) -> Comparison:
    found = compared_with_paper(among)
    assert found is not None
    return found


def named(name: str) -> BenchmarkFigures:
    return dataclasses.replace(CHARTQA, name=name, official={})


def test_nothing_is_compared_where_nothing_is_published() -> None:
    assert compared_with_paper([WORLD]) is None
    assert compared_with_paper([]) is None


def test_ours_stands_below_the_line_that_was_asked_alike_and_the_rest_at_the_end() -> None:
    found = compared(POPE, WORLD, CHARTQA)
    assert found.titles == ("ChartQA", "POPE"), "in the paper's order"
    labels = [f"{'ours: ' if row.is_ours else ''}{row.label}" for row in found.rows]
    assert labels[:4] == [
        "Qwen2.5-VL-7B, full view",
        "ours: full view always",
        "Qwen2.5-VL-7B, quarter view",
        "ours: quarter view only",
    ]
    assert labels[labels.index("VisionThink, as published") + 1] == "ours: trained model"
    assert labels[-1] == "ours: base model"
    assert [row.visual_tokens for row in found.rows if row.is_ours] == ["100.0", "25.0", "58.5", "73.8"]


def test_ours_is_told_in_the_papers_units_or_not_at_all() -> None:
    trained = {name: one.contenders[3] for name, one in (("chartqa", CHARTQA), ("mme", MME), ("pope", POPE))}
    assert paper_score(CHARTQA, trained["chartqa"]) == pytest.approx(78.1)
    assert paper_score(MME, trained["mme"]) == 2307.25
    assert paper_score(POPE, trained["pope"]) == pytest.approx(86.0)
    without = dataclasses.replace(MME, official={})
    assert paper_score(without, trained["mme"]) is None
    assert "mme" not in next(row for row in compared(without).rows if row.is_ours).scores
    assert [score_text("mme", 2307.25), score_text("pope", 86.04), score_text("pope", None)] == ["2,307", "86.0", "-"]


def test_the_swapped_columns_are_put_right_and_said() -> None:
    (own,) = [row for row in PUBLISHED if row.role is ContenderRole.CANDIDATE]
    assert (own.scores["mmvet"], own.scores["realworldqa"]) == (67.1, 68.5)
    assert any("the other way round" in note for note in compared(named("realworldqa")).notes)
    assert not any("the other way round" in note for note in compared(CHARTQA).notes)


def test_the_share_of_tokens_is_questioned_wherever_it_is_shown() -> None:
    for name in TITLES:
        notes = " ".join(compared(named(name)).notes)
        assert "51.3 %" in notes and "61 %" in notes and "99 %" in notes


def test_lines_without_a_figure_of_what_was_run_are_left_out() -> None:
    found = compared(named("vstar"))
    assert [row.label for row in found.rows if not row.is_ours] == ["its released weights, measured by AwaRes"]
    assert len(found.rows) == 5


def test_every_published_line_is_of_known_benchmarks_and_in_range() -> None:
    for row in PUBLISHED:
        assert row.scores.keys() <= TITLES.keys()
        for name, score in row.scores.items():
            assert (2000 < score <= 2800) if name == "mme" else (25 < score <= 100), (row.label, name)
