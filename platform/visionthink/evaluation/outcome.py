"""What an evaluation came to: the figures of all contenders, as records, metrics and facts. Pure.

Rule: headline figures are those of the trained families; families that took no part in training stand apart. Figures
are formed once, and page, tracker, gate and summary are handed the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json
from visionthink.errors import EngineError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks import Benchmark
from visionthink.evaluation.comparison import Oracle, Paired, compared, oracle
from visionthink.evaluation.contender import Contender
from visionthink.evaluation.figures import (
    choice_metrics,
    confusion,
    contender_figures,
    eval_metrics,
    family_figures,
    gate_figures,
    graded,
    mean_score,
    official_metrics,
    paired_metrics,
    resize_rate,
)
from visionthink.evaluation.incumbent import Incumbent
from visionthink.evaluation.interval import Bootstrap, ratio_interval
from visionthink.evaluation.latency import Latency
from visionthink.report.record import (
    Confusion,
    ContenderFigures,
    FamilyFigures,
    Interval,
    PairedFigures,
    of_role,
)
from visionthink.runs.result import StageResult

_COMPARED = (ContenderRole.CANDIDATE, ContenderRole.FULL_VIEW, ContenderRole.BASE, ContenderRole.INCUMBENT)
"""Whom the gate holds against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one contender answered, and how long it took."""

    contender: Contender
    answers: Sequence[Answer]
    """To samples of the trained families."""
    held_out: Sequence[Answer]
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that was measured, and the figures of it."""

    measured: tuple[Measured, ...]
    contenders: tuple[ContenderFigures, ...]
    """The headline figures."""
    families: tuple[FamilyFigures, ...]
    """Figures by family, trained ones first."""
    official: Mapping[str, Mapping[str, float]]
    """By contender, the further figures under which the benchmark is published."""
    facts: Mapping[str, Json] = field(repr=False)
    """What the summary, the gate and the curious read."""

    @property
    def confusion(self) -> Confusion | None:
        """When the candidate asks; None where no need is known."""
        candidate = _of_role(self.measured, ContenderRole.CANDIDATE)
        return confusion(candidate.answers) if candidate else None

    def to_result(self) -> StageResult:
        """The result, but for files."""
        latencies = {one.contender.name: one.latency for one in self.measured}
        table = self.confusion
        return StageResult(
            metrics={
                **eval_metrics(self.contenders, self.families, latencies),
                **choice_metrics({one.contender.name: one.answers for one in self.measured}, _oracle(self.measured)),
                **paired_metrics(_paired(self.measured)),
                **official_metrics(self.official),
            },
            confusion=None if table is None else tuple((row[0], row[1]) for row in table.matrix),
            facts=self.facts,
        )


def evaluation_of(
    measured: Sequence[Measured], *, benchmark: Benchmark, bootstrap: Bootstrap, incumbent: Incumbent
) -> Evaluation:
    """The figures of what was measured.

    Raises:
        EngineError: nothing that a contender answered could be graded.
    """
    for one in measured:
        if one.answers and not graded(one.answers):
            raise EngineError(
                f"no answer of the {one.contender.label} could be graded, the first with: {one.answers[0].error}",
                retryable=True,
            )
    contenders = _beside_each_other(
        measured,
        [
            contender_figures(one.contender, one.answers, one.latency, total=benchmark.total, bootstrap=bootstrap)
            for one in measured
        ],
    )
    families = tuple(
        figures
        for held_out in (False, True)
        for one in measured
        for figures in family_figures(
            one.contender.name, one.held_out if held_out else one.answers, one.latency, held_out=held_out
        )
    )
    official = {one.contender.name: benchmark.official(graded(one.answers)) for one in measured}
    facts: dict[str, Json] = {
        "benchmark": benchmark.name,
        "rows": {figures.name: _contender_facts(figures) for figures in contenders},
        "official": {name: dict(figures) for name, figures in official.items()},
        **_ratios(measured, bootstrap),
        "paired": {name: _record(pairs) for name, pairs in _paired(measured).items()},
        "oracle": _record(_oracle(measured)),
        "held_out": _held_out_facts(measured),
        "gate": _gate_facts(measured, benchmark, bootstrap),
        "incumbent": incumbent.to_dict(),
    }
    return Evaluation(
        measured=tuple(measured), contenders=contenders, families=families, official=official, facts=facts
    )


def _of_role(measured: Sequence[Measured], role: ContenderRole) -> Measured | None:
    return next((one for one in measured if one.contender.role is role), None)


def _ratios(measured: Sequence[Measured], bootstrap: Bootstrap) -> dict[str, Json]:
    """The candidate against the full view, on the samples that both answered."""
    candidate, high = _of_role(measured, ContenderRole.CANDIDATE), _of_role(measured, ContenderRole.FULL_VIEW)
    by_id = {answer.id: answer for answer in graded(high.answers)} if high else {}
    pairs = [(one, by_id[one.id]) for one in graded(candidate.answers) if one.id in by_id] if candidate else []
    tokens = ratio_interval(
        [one.visual_tokens for one, _ in pairs], [other.visual_tokens for _, other in pairs], bootstrap
    )
    accuracy = ratio_interval([one.score for one, _ in pairs], [other.score for _, other in pairs], bootstrap)
    return {"visual_token_ratio": _interval(tokens), "accuracy_ratio": _interval(accuracy)}


def _paired(measured: Sequence[Measured]) -> dict[str, Paired | None]:
    """The candidate against each of the others, question by question."""
    candidate = _of_role(measured, ContenderRole.CANDIDATE)
    if candidate is None:
        return {}
    return {one.contender.name: compared(candidate.answers, one.answers) for one in measured if one is not candidate}


def _oracle(measured: Sequence[Measured]) -> Oracle | None:
    """What a perfect choice of the view gives."""
    low, high = _of_role(measured, ContenderRole.QUARTER_VIEW), _of_role(measured, ContenderRole.FULL_VIEW)
    return oracle(low.answers, high.answers) if low and high else None


def _record(record: Paired | Oracle | None) -> Json:
    return None if record is None else asdict(record)


def _beside_each_other(
    measured: Sequence[Measured], figures: Sequence[ContenderFigures]
) -> tuple[ContenderFigures, ...]:
    """The figures of each, with those that compare it with others."""
    candidate, best = _of_role(measured, ContenderRole.CANDIDATE), _oracle(measured)
    high = of_role(figures, ContenderRole.FULL_VIEW)
    most = high.visual_tokens.value if high else 0.0
    found = []
    for one, own in zip(measured, figures, strict=True):
        is_other = candidate is not None and one is not candidate
        pair = compared(candidate.answers, one.answers) if candidate is not None and is_other else None
        score = mean_score(one.answers)
        found.append(
            replace(
                own,
                visual_token_ratio=own.visual_tokens.value / most if most else None,
                regret=None if best is None or score is None else best.accuracy - score,
                paired=None if pair is None else PairedFigures(**asdict(pair)),
            )
        )
    return tuple(found)


def _held_out_facts(measured: Sequence[Measured]) -> Json:
    """The families that took no part in training; None where there are none."""
    candidate = _of_role(measured, ContenderRole.CANDIDATE)
    if candidate is None or not candidate.held_out:
        return None
    accuracy: dict[str, Json] = {one.contender.name: mean_score(one.held_out) for one in measured}
    return {
        "num_samples": len(graded(candidate.held_out)),
        "resize_rate": {
            "needed": resize_rate(candidate.held_out, needed=True),
            "not_needed": resize_rate(candidate.held_out, needed=False),
        },
        "accuracy": accuracy,
    }


def _gate_facts(measured: Sequence[Measured], benchmark: Benchmark, bootstrap: Bootstrap) -> dict[str, Json]:
    """By role, what the gate decides by, all of it over the samples that every one of them answered."""
    compared = [one for one in measured if one.contender.role in _COMPARED]
    answered = [frozenset(answer.id for answer in graded(one.answers)) for one in compared]
    shared = frozenset.intersection(*answered) if answered else frozenset()
    return {
        one.contender.role.value: asdict(gate_figures(one.answers, shared, total=benchmark.total, bootstrap=bootstrap))
        for one in compared
    }


def _contender_facts(figures: ContenderFigures) -> Json:
    return {
        "label": figures.label,
        "role": figures.role.value,
        "num_samples": figures.num_samples,
        "num_failed": figures.num_failed,
        "failures": dict(figures.failures),
        "accuracy": _interval(figures.accuracy),
        "visual_tokens": _interval(figures.visual_tokens),
        "resize_rate": figures.resize_rate,
        "resize_rate_needed": figures.resize_rate_needed,
        "resize_rate_not_needed": figures.resize_rate_not_needed,
        "shortcut_rate": figures.shortcut_rate,
        "reply_tokens": figures.reply_tokens,
        "accuracy_asked": figures.accuracy_asked,
        "accuracy_direct": figures.accuracy_direct,
        "accuracy_needed": figures.accuracy_needed,
        "whole_ratio": figures.whole_ratio,
        "right_region_ratio": figures.right_region_ratio,
        "visual_tokens_asked": figures.visual_tokens_asked,
        "regret": figures.regret,
        "visual_token_ratio": figures.visual_token_ratio,
        "drops_tokens": figures.drops_tokens,
    }


def _interval(interval: Interval | None) -> Json:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}
