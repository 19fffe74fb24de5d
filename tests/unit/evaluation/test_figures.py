import pytest
from tests.unit.evaluation.answers import answer

from visionthink import metrics
from visionthink.evaluation.bootstrap import Bootstrap
from visionthink.evaluation.figures import (
    confusion,
    eval_metrics,
    family_figures,
    gate_figures,
    resize_rate,
    row_figures,
)
from visionthink.evaluation.latency import Latency
from visionthink.report.record import Row

BOOTSTRAP = Bootstrap(num_bootstraps=20, seed=0)
LATENCY = Latency(by_family={"code": (0.2, 0.4), "color": (0.1,), "suffix": (0.9,)}, headline=("code", "color"))
ANSWERS = [
    answer("1"),
    answer("2", correct=False, asked=False),
    answer("3", needed=False, family="color", asked=False),
    answer("4", needed=False, family="color", asked=True),
    answer("5", failed=True, asked=False, got=None),
]


def test_row_figures_leave_failed_episodes_out() -> None:
    figures = row_figures(Row.TRAINED, ANSWERS, LATENCY, BOOTSTRAP)
    assert (figures.num_samples, figures.accuracy.value, figures.resize_rate) == (4, 0.75, 0.5)
    assert (figures.resize_rate_needed, figures.resize_rate_not_needed) == (0.5, 0.5)
    assert figures.visual_tokens.value == (20 + 4 + 4 + 20) / 4
    assert figures.latency_s == pytest.approx(0.7 / 3)


def test_resize_rate_where_no_need_is_known_is_none() -> None:
    answers = [answer(needed=None)]
    assert resize_rate(answers) == 1.0
    assert resize_rate(answers, needed=True) is None and resize_rate(answers, needed=False) is None


def test_family_figures_stand_in_order_with_their_latency() -> None:
    code, color = family_figures(Row.BASE, ANSWERS, LATENCY, held_out=False)
    assert (code.family, code.needs_high_res, code.num_samples, code.accuracy) == ("code", True, 2, 0.5)
    assert (color.family, color.needs_high_res, color.accuracy, color.latency_s) == ("color", False, 1.0, 0.1)


def test_family_with_mixed_needs_claims_none() -> None:
    (figures,) = family_figures(Row.BASE, [answer(), answer(needed=False)], LATENCY, held_out=True)
    assert figures.needs_high_res is None and figures.held_out


def test_confusion_counts_asked_against_needed() -> None:
    table = confusion([*ANSWERS, answer(needed=None)])
    assert table is not None
    assert table.matrix == [[1, 1], [1, 1]]


def test_confusion_is_none_where_no_need_is_known() -> None:
    assert confusion([answer(needed=None)]) is None


def test_gate_figures_count_what_gave_nothing_to_grade() -> None:
    figures = gate_figures([*ANSWERS, answer("6", correct=False, got=None)])
    assert figures.failed_ratio == pytest.approx(2 / 6)
    assert figures.num_samples == 5 and figures.latency_p95_s is None


def test_eval_metrics_are_all_registered_and_complete() -> None:
    rows = [row_figures(row, ANSWERS, LATENCY, BOOTSTRAP) for row in Row]
    families = [figures for row in Row for figures in family_figures(row, ANSWERS, LATENCY, held_out=False)]
    values = eval_metrics(rows, families, dict.fromkeys(Row, LATENCY))
    metrics.check(values)
    names = {metrics.lookup(key).name for key in values}
    assert names == {metric.name for metric in metrics.METRICS if metric.name.startswith("eval/")}
    assert values["eval/visual_token_ratio/trained"] == 1.0
    assert values["eval/latency_p95_s/base"] == pytest.approx(0.38)
