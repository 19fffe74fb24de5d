"""Answers in numbers: by contender, by family, asked against needed. Pure.

Rule: an episode that engine or judge failed on is left out of every share and counted apart. A share of nothing is
None, never 0. Every figure takes one pass over the answers, whatever the number of families.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from visionthink import metrics as m
from visionthink.core.gate import ContenderRole, Figures
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks.benchmark import Total
from visionthink.evaluation.comparison import Oracle, Paired
from visionthink.evaluation.contender import Contender
from visionthink.evaluation.interval import Bootstrap, mean_interval
from visionthink.evaluation.latency import Latency
from visionthink.metrics import Metric
from visionthink.report.record import Confusion, ContenderFigures, FamilyFigures, of_role

_MAX_REASONS: Final = 3
"""Reasons of failures that are told apart."""
_MAX_REASON: Final = 160
"""Characters of one."""


def graded(answers: Sequence[Answer]) -> list[Answer]:
    """Those that say something about the model."""
    return [answer for answer in answers if not answer.failed]


def mean(answers: Sequence[Answer], value: Callable[[Answer], float]) -> float | None:
    """Mean over graded answers; None when there are none."""
    found = graded(answers)
    return sum(map(value, found)) / len(found) if found else None


def mean_score(answers: Sequence[Answer]) -> float | None:
    """Mean score of graded answers: the share of correct ones."""
    return mean(answers, lambda answer: answer.score)


def resize_rate(answers: Sequence[Answer], *, needed: bool | None = None) -> float | None:
    """Share with a further view, of all or of those that do or do not need the full one."""
    chosen = [answer for answer in answers if needed is None or answer.needed is needed]
    return mean(chosen, lambda answer: answer.asked)


def whole_ratio(answers: Sequence[Answer]) -> float | None:
    """Share of those with a further view that were shown the whole."""
    return mean([answer for answer in answers if answer.asked], lambda answer: answer.asked_whole)


def right_region_ratio(answers: Sequence[Answer]) -> float | None:
    """Share of those with a region shown that were shown the right one, among samples that need more pixels."""
    told = [answer for answer in answers if answer.needed and answer.asked_right is not None]
    return mean(told, lambda answer: bool(answer.asked_right))


def choice_metrics(answers: Mapping[str, Sequence[Answer]], best: Oracle | None) -> dict[str, float]:
    """How the choice of the view did, by contender, under its registered names; `best` is the perfect one."""
    values: dict[str, float | None] = {}
    for row, found in answers.items():
        values[m.EVAL_ACCURACY_ASKED.key(row=row)] = mean_score([one for one in found if one.asked])
        values[m.EVAL_ACCURACY_DIRECT.key(row=row)] = mean_score([one for one in found if not one.asked])
        own = mean_score(found)
        values[m.EVAL_REGRET.key(row=row)] = None if best is None or own is None else best.accuracy - own
    return {key: value for key, value in values.items() if value is not None}


def paired_metrics(paired: Mapping[str, Paired | None]) -> dict[str, float]:
    """The candidate against the others, by contender, under its registered names."""
    values: dict[str, float] = {}
    for row, pairs in paired.items():
        if pairs is not None:
            values[m.EVAL_PAIRED_DIFFERENCE.key(row=row)] = pairs.difference
            values[m.EVAL_PAIRED_P_VALUE.key(row=row)] = pairs.p_value
            values[m.EVAL_NUM_WON.key(row=row)] = float(pairs.won)
            values[m.EVAL_NUM_LOST.key(row=row)] = float(pairs.lost)
    return values


def failures(answers: Sequence[Answer]) -> dict[str, int]:
    """How many answers failed, by reason; the rarer reasons together."""
    reasons = Counter(answer.error[:_MAX_REASON] for answer in answers if answer.error is not None)
    named = dict(reasons.most_common(_MAX_REASONS))
    rest = reasons.total() - sum(named.values())
    return named | ({"other reasons": rest} if rest else {})


def contender_figures(
    contender: Contender, answers: Sequence[Answer], latency: Latency, *, total: Total, bootstrap: Bootstrap
) -> ContenderFigures:
    """How a contender did on a set of samples."""
    found = graded(answers)
    return ContenderFigures(
        name=contender.name,
        label=contender.label,
        role=contender.role,
        num_samples=len(found),
        failures=failures(answers),
        accuracy=total(found, bootstrap),
        visual_tokens=mean_interval([float(answer.visual_tokens) for answer in found], bootstrap),
        resize_rate=resize_rate(answers) or 0.0,
        resize_rate_needed=resize_rate(answers, needed=True),
        resize_rate_not_needed=resize_rate(answers, needed=False),
        shortcut_rate=None if contender.first_look == "off" else mean(answers, lambda answer: answer.shortcut),
        latency_s=latency.mean_s,
        latency_p50_s=latency.p50_s,
        latency_p95_s=latency.p95_s,
        reply_tokens=mean(answers, lambda answer: answer.reply_tokens),
        accuracy_asked=mean_score([answer for answer in answers if answer.asked]),
        accuracy_direct=mean_score([answer for answer in answers if not answer.asked]),
        accuracy_needed=mean_score([answer for answer in answers if answer.needed]),
        whole_ratio=whole_ratio(answers),
        right_region_ratio=right_region_ratio(answers),
        visual_tokens_asked=mean(answers, lambda answer: answer.visual_tokens_asked),
        drops_tokens=contender.pruning is not None,
    )


def family_figures(
    contender: str, answers: Sequence[Answer], latency: Latency, *, held_out: bool
) -> tuple[FamilyFigures, ...]:
    """How a contender did on each family with an answer that was graded, in alphabetical order."""
    by_family: dict[str, list[Answer]] = {}
    for answer in graded(answers):
        by_family.setdefault(answer.family, []).append(answer)
    return tuple(
        _family(contender, family, by_family[family], latency, held_out=held_out) for family in sorted(by_family)
    )


def _family(
    contender: str, family: str, answers: Sequence[Answer], latency: Latency, *, held_out: bool
) -> FamilyFigures:
    needs = {answer.needed for answer in answers}
    return FamilyFigures(
        family=family,
        contender=contender,
        needs_high_res=needs.pop() if len(needs) == 1 else None,
        held_out=held_out,
        num_samples=len(answers),
        accuracy=mean_score(answers) or 0.0,
        resize_rate=resize_rate(answers) or 0.0,
        visual_tokens=mean(answers, lambda answer: answer.visual_tokens) or 0.0,
        latency_s=latency.of_family(family),
    )


def confusion(answers: Sequence[Answer]) -> Confusion | None:
    """Asked against needed; None where no need is known."""
    counts = Counter((answer.needed, answer.asked) for answer in graded(answers) if answer.needed is not None)
    if not counts:
        return None
    return Confusion(
        needed_asked=counts[True, True],
        needed_answered=counts[True, False],
        not_needed_asked=counts[False, True],
        not_needed_answered=counts[False, False],
    )


def gate_figures(answers: Sequence[Answer], among: frozenset[str], *, total: Total, bootstrap: Bootstrap) -> Figures:
    """What the gate decides by: figures over the samples `among`, failures of all. Times differ and are left out."""
    shared = [answer for answer in graded(answers) if answer.id in among]
    return Figures(
        num_samples=len(shared),
        accuracy=total(shared, bootstrap).value,
        visual_tokens_mean=mean(shared, lambda answer: answer.visual_tokens) or 0.0,
        resize_ratio_needed=resize_rate(shared, needed=True),
        resize_ratio_not_needed=resize_rate(shared, needed=False),
        failed_ratio=sum(answer.failed or answer.got is None for answer in answers) / max(len(answers), 1),
    )


def eval_metrics(
    contenders: Sequence[ContenderFigures], families: Sequence[FamilyFigures], latencies: Mapping[str, Latency]
) -> dict[str, float]:
    """Every number of an evaluation under its registered name."""
    high = of_role(contenders, ContenderRole.FULL_VIEW)
    most = high.visual_tokens.value if high else 0.0
    values: dict[str, float | None] = {}
    for figures in contenders:
        pairs: dict[Metric, float | None] = {
            m.EVAL_NUM_SAMPLES: figures.num_samples,
            m.EVAL_NUM_FAILED: figures.num_failed,
            m.EVAL_ACCURACY: figures.accuracy.value,
            m.EVAL_ACCURACY_LOW: figures.accuracy.low,
            m.EVAL_ACCURACY_HIGH: figures.accuracy.high,
            m.EVAL_RESIZE_RATE: figures.resize_rate,
            m.EVAL_RESIZE_RATE_NEEDED: figures.resize_rate_needed,
            m.EVAL_RESIZE_RATE_NOT_NEEDED: figures.resize_rate_not_needed,
            m.EVAL_SHORTCUT_RATE: figures.shortcut_rate,
            m.EVAL_ACCURACY_NEEDED: figures.accuracy_needed,
            m.EVAL_WHOLE_RATIO: figures.whole_ratio,
            m.EVAL_RIGHT_REGION_RATIO: figures.right_region_ratio,
            m.EVAL_VISUAL_TOKENS_ASKED: figures.visual_tokens_asked,
            m.EVAL_VISUAL_TOKENS_MEAN: figures.visual_tokens.value,
            m.EVAL_VISUAL_TOKEN_RATIO: figures.visual_tokens.value / most if most else None,
            m.EVAL_REPLY_TOKENS_MEAN: figures.reply_tokens,
            m.EVAL_LATENCY_S: latencies[figures.name].mean_s,
            m.EVAL_LATENCY_P50_S: latencies[figures.name].p50_s,
            m.EVAL_LATENCY_P95_S: latencies[figures.name].p95_s,
        }
        values |= {metric.key(row=figures.name): value for metric, value in pairs.items()}
    for family in families:
        pairs = {
            m.EVAL_FAMILY_ACCURACY: family.accuracy,
            m.EVAL_FAMILY_RESIZE_RATE: family.resize_rate,
            m.EVAL_FAMILY_VISUAL_TOKENS_MEAN: family.visual_tokens,
            m.EVAL_FAMILY_LATENCY_S: family.latency_s,
        }
        for metric, value in pairs.items():
            values[metric.key(row=family.contender, family=family.family)] = value
    return {key: float(value) for key, value in values.items() if value is not None}


def official_metrics(official: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The figures under which a benchmark is published, by contender, under their registered names."""
    return {
        m.EVAL_OFFICIAL.key(row=row, figure=figure): value
        for row, figures in official.items()
        for figure, value in figures.items()
    }
