from dataclasses import replace

import pytest
from tests.unit.evaluation.answers import CONTENDERS, TRAINED, answer, contender

from visionthink import metrics
from visionthink.core.gate import ContenderRole
from visionthink.evaluation.benchmarks.benchmark import mean_score
from visionthink.evaluation.comparison import Paired, compared, oracle
from visionthink.evaluation.figures import (
    choice_metrics,
    confusion,
    contender_figures,
    eval_metrics,
    failures,
    family_figures,
    gate_figures,
    official_metrics,
    paired_metrics,
    resize_rate,
)
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.latency import Latency

BOOTSTRAP = Bootstrap(num_bootstraps=20, seed=0)
LATENCY = Latency(by_family={"code": (0.2, 0.4), "color": (0.1,), "suffix": (0.9,)}, headline=("code", "color"))
ANSWERS = [
    answer("1"),
    answer("2", correct=False, asked=False),
    answer("3", needed=False, family="color", asked=False),
    answer("4", needed=False, family="color", asked=True),
    answer("5", failed=True, asked=False, got=None),
]

LOOKED = answer("6", asked_whole=False, asked_right=True)


def test_contender_figures_leave_failed_episodes_out() -> None:
    figures = contender_figures(TRAINED, ANSWERS, LATENCY, total=mean_score, bootstrap=BOOTSTRAP)
    assert (figures.num_samples, figures.accuracy.value, figures.resize_rate) == (4, 0.75, 0.5)
    assert (figures.resize_rate_needed, figures.resize_rate_not_needed) == (0.5, 0.5)
    assert figures.visual_tokens.value == (20 + 4 + 4 + 20) / 4
    assert figures.latency_s == pytest.approx(0.7 / 3)
    assert (figures.num_failed, figures.failures) == (1, {"connection refused": 1})


def test_partial_credit_is_never_cut() -> None:
    """B22: .4 is .4, in the mean, by family and before the gate."""
    answers = [answer("1", score=0.4), answer("2", score=0.6), answer("3", score=0.5)]
    figures = contender_figures(TRAINED, answers, LATENCY, total=mean_score, bootstrap=BOOTSTRAP)
    assert figures.accuracy.value == pytest.approx(0.5)
    (family,) = family_figures("trained", answers, LATENCY, held_out=False)
    assert family.accuracy == pytest.approx(0.5)
    among = frozenset(one.id for one in answers)
    assert gate_figures(answers, among, total=mean_score, bootstrap=BOOTSTRAP).accuracy == pytest.approx(0.5)


def test_failures_are_told_by_reason_and_the_rare_ones_together() -> None:
    reasons = ["down"] * 5 + ["slow"] * 3 + ["torn"] * 2 + ["odd", "new"]
    answers = [answer(str(n), failed=True, error=reason) for n, reason in enumerate(reasons)]
    assert failures([*answers, answer()]) == {"down": 5, "slow": 3, "torn": 2, "other reasons": 2}
    assert failures([answer()]) == {}


def test_resize_rate_where_no_need_is_known_is_none() -> None:
    answers = [answer(needed=None)]
    assert resize_rate(answers) == 1.0
    assert resize_rate(answers, needed=True) is None and resize_rate(answers, needed=False) is None


def test_family_figures_stand_in_order_with_their_latency() -> None:
    code, color = family_figures("base", ANSWERS, LATENCY, held_out=False)
    assert (code.family, code.needs_high_res, code.num_samples, code.accuracy) == ("code", True, 2, 0.5)
    assert (color.family, color.needs_high_res, color.accuracy, color.latency_s) == ("color", False, 1.0, 0.1)


def test_family_without_a_graded_answer_has_no_figures() -> None:
    answers = [answer(), answer(family="mark", failed=True)]
    assert [figures.family for figures in family_figures("base", answers, LATENCY, held_out=False)] == ["code"]


def test_family_that_was_not_timed_has_no_latency() -> None:
    (figures,) = family_figures("base", [answer(family="mark")], LATENCY, held_out=False)
    assert figures.latency_s is None


def test_family_with_mixed_needs_claims_none() -> None:
    (figures,) = family_figures("base", [answer(), answer(needed=False)], LATENCY, held_out=True)
    assert figures.needs_high_res is None and figures.held_out


def test_confusion_counts_asked_against_needed() -> None:
    table = confusion([*ANSWERS, answer(needed=None)])
    assert table is not None
    assert table.matrix == [[1, 1], [1, 1]]


def test_choice_metrics_tell_answers_after_a_further_view_from_those_without_one() -> None:
    values = choice_metrics({"trained": ANSWERS}, oracle(ANSWERS, ANSWERS))
    assert values["eval/accuracy_asked/trained"] == 1.0
    assert values["eval/accuracy_direct/trained"] == 0.5
    assert values["eval/regret/trained"] == 0.0
    assert choice_metrics({"always_low": ANSWERS[1:3]}, None) == {"eval/accuracy_direct/always_low": 0.5}


def test_paired_metrics_tell_by_contender_what_the_candidate_won_and_lost_against_it() -> None:
    pairs = Paired(num_samples=10, difference=0.2, won=3, lost=1, p_value=0.625)
    assert paired_metrics({"base": pairs, "champion": None}) == {
        "eval/paired_difference/base": 0.2,
        "eval/paired_p_value/base": 0.625,
        "eval/num_won/base": 3.0,
        "eval/num_lost/base": 1.0,
    }


def test_confusion_is_none_where_no_need_is_known() -> None:
    assert confusion([answer(needed=None)]) is None


def test_gate_figures_count_what_gave_nothing_to_grade() -> None:
    answers = [*ANSWERS, answer("6", correct=False, got=None)]
    among = frozenset(one.id for one in answers)
    figures = gate_figures(answers, among, total=mean_score, bootstrap=BOOTSTRAP)
    assert figures.failed_ratio == pytest.approx(2 / 6)
    assert figures.num_samples == 5 and figures.latency_p95_s is None


def test_gate_figures_are_of_the_samples_that_all_answered() -> None:
    figures = gate_figures(ANSWERS, frozenset({"1", "5"}), total=mean_score, bootstrap=BOOTSTRAP)
    assert (figures.num_samples, figures.accuracy, figures.failed_ratio) == (1, 1.0, 0.2)


def test_figures_tell_where_a_contender_looked() -> None:
    wrong = answer(asked_whole=False, asked_right=False)
    needless = answer(needed=False, asked_whole=False, asked_right=False)
    answers = [LOOKED, LOOKED, wrong, needless, answer(), answer(asked=False)]
    figures = contender_figures(TRAINED, answers, LATENCY, total=mean_score, bootstrap=BOOTSTRAP)
    assert figures.right_region_ratio == 2 / 3
    assert figures.whole_ratio == 1 / 5
    assert figures.visual_tokens_asked == 16 * 5 / 6


def test_eval_metrics_are_all_registered_and_complete() -> None:
    shortcut = replace(contender("first_look"), first_look="auto")
    contenders = [
        contender_figures(one, [*ANSWERS, LOOKED], LATENCY, total=mean_score, bootstrap=BOOTSTRAP)
        for one in (*CONTENDERS, contender("champion", ContenderRole.INCUMBENT), shortcut)
    ]
    families = [figures for one in CONTENDERS for figures in family_figures(one.name, ANSWERS, LATENCY, held_out=False)]
    values = {
        **eval_metrics(contenders, families, {one.name: LATENCY for one in contenders}),
        **choice_metrics({"trained": ANSWERS}, oracle(ANSWERS, ANSWERS)),
        **paired_metrics({"base": compared(ANSWERS, ANSWERS)}),
        **official_metrics({"trained": {"f1": 0.9}}),
    }
    metrics.check(values)
    names = {metrics.lookup(key).name for key in values}
    assert names == {metric.name for metric in metrics.METRICS if metric.name.startswith("eval/")}
    assert values["eval/visual_token_ratio/trained"] == values["eval/visual_token_ratio/champion"] == 1.0
    assert values["eval/num_failed/trained"] == 1
    assert values["eval/official/trained/f1"] == 0.9
    assert values["eval/latency_p95_s/base"] == pytest.approx(0.38)


def test_eval_metrics_keep_families_apart_whose_names_look_alike_to_a_store() -> None:
    """B9: two names that are no ASCII, one of dots and one that is longer than a key."""
    names = ["数学", "物理", "...", "x" * 300, "x" * 300 + "y"]
    answers = [answer(name, family=name) for name in names]
    families = family_figures("trained", answers, LATENCY, held_out=False)
    values = eval_metrics([], families, {})
    assert len([key for key in values if key.startswith("eval/family_accuracy/")]) == len(names)
    assert all(len(key) <= 250 for key in values)
