"""What an evaluation came to: the figures of all rows, as records, metrics and facts. Pure.

Rule: headline figures are those of the trained families; families that took no part in training stand apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from visionthink.core.json_value import Json
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.bootstrap import Bootstrap, ratio_interval
from visionthink.evaluation.figures import (
    confusion,
    eval_metrics,
    family_figures,
    gate_figures,
    graded,
    resize_rate,
    row_figures,
    share,
)
from visionthink.evaluation.latency import Latency
from visionthink.report.record import Example, FamilyFigures, Interval, Row, RowFigures
from visionthink.runs.result import StageResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that was measured."""

    answers: Mapping[Row, Sequence[Answer]]
    """To samples of the trained families."""
    held_out: Mapping[Row, Sequence[Answer]]
    latencies: Mapping[Row, Latency]
    examples: tuple[Example, ...] = ()

    def rows(self, bootstrap: Bootstrap) -> tuple[RowFigures, ...]:
        """The headline figures."""
        return tuple(row_figures(row, found, self.latencies[row], bootstrap) for row, found in self.answers.items())

    def families(self) -> tuple[FamilyFigures, ...]:
        """Figures by family, trained ones first."""
        return tuple(
            figures
            for held_out, sets in ((False, self.answers), (True, self.held_out))
            for row, found in sets.items()
            for figures in family_figures(row, found, self.latencies[row], held_out=held_out)
        )

    def facts(self, bootstrap: Bootstrap) -> dict[str, Json]:
        """What the summary, the gate and the curious read."""
        trained, high = graded(self.answers[Row.TRAINED]), graded(self.answers[Row.ALWAYS_HIGH])
        pairs = _paired(trained, high)
        tokens = ratio_interval(
            [one.visual_tokens for one, _ in pairs], [other.visual_tokens for _, other in pairs], bootstrap
        )
        accuracy = ratio_interval([one.correct for one, _ in pairs], [other.correct for _, other in pairs], bootstrap)
        return {
            "rows": {figures.row.value: _row_facts(figures) for figures in self.rows(bootstrap)},
            "visual_token_ratio": _interval(tokens),
            "accuracy_ratio": _interval(accuracy),
            "held_out": self._held_out_facts(),
            "gate": {row.value: asdict(gate_figures(found)) for row, found in self.answers.items()},
        }

    def _held_out_facts(self) -> Json:
        """The families that took no part in training; None where there are none."""
        trained = self.held_out[Row.TRAINED]
        if not trained:
            return None
        accuracy: dict[str, Json] = {
            row.value: share(found, lambda answer: answer.correct) for row, found in self.held_out.items()
        }
        return {
            "num_samples": len(graded(trained)),
            "resize_rate": {
                "needed": resize_rate(trained, needed=True),
                "not_needed": resize_rate(trained, needed=False),
            },
            "accuracy": accuracy,
        }

    def to_result(self, bootstrap: Bootstrap) -> StageResult:
        """The result, but for files."""
        table = confusion(self.answers[Row.TRAINED])
        return StageResult(
            metrics=eval_metrics(self.rows(bootstrap), self.families(), self.latencies),
            confusion=None if table is None else tuple((row[0], row[1]) for row in table.matrix),
            facts=self.facts(bootstrap),
        )


def _paired(answers: Sequence[Answer], others: Sequence[Answer]) -> list[tuple[Answer, Answer]]:
    """Answers of two rows to the same samples."""
    by_id = {answer.id: answer for answer in others}
    return [(answer, by_id[answer.id]) for answer in answers if answer.id in by_id]


def _row_facts(figures: RowFigures) -> Json:
    return {
        "num_samples": figures.num_samples,
        "accuracy": _interval(figures.accuracy),
        "visual_tokens": _interval(figures.visual_tokens),
        "resize_rate": figures.resize_rate,
        "resize_rate_needed": figures.resize_rate_needed,
        "resize_rate_not_needed": figures.resize_rate_not_needed,
    }


def _interval(interval: Interval | None) -> Json:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}
