"""Answers in numbers: by row, by family, asked against needed. Pure.

Rule: an episode that engine or judge failed on is left out of every share and counted apart. A share of nothing is
None, never 0.
"""

from collections.abc import Callable, Mapping, Sequence

from visionthink import metrics as m
from visionthink.core.gate import Figures
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.bootstrap import Bootstrap, mean_interval
from visionthink.evaluation.latency import Latency
from visionthink.metrics import Metric
from visionthink.report.record import Confusion, FamilyFigures, Row, RowFigures


def graded(answers: Sequence[Answer]) -> list[Answer]:
    """Those that say something about the model."""
    return [answer for answer in answers if not answer.failed]


def share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> float | None:
    """Share of graded answers for which `holds`; None when there are none."""
    found = graded(answers)
    return sum(map(holds, found)) / len(found) if found else None


def resize_rate(answers: Sequence[Answer], *, needed: bool | None = None) -> float | None:
    """Share with a second view, of all or of those that do or do not need the full one."""
    chosen = [answer for answer in answers if needed is None or answer.needed is needed]
    return share(chosen, lambda answer: answer.asked)


def row_figures(row: Row, answers: Sequence[Answer], latency: Latency, bootstrap: Bootstrap) -> RowFigures:
    """How a row did on a set of samples."""
    found = graded(answers)
    return RowFigures(
        row=row,
        num_samples=len(found),
        accuracy=mean_interval([float(answer.correct) for answer in found], bootstrap),
        visual_tokens=mean_interval([float(answer.visual_tokens) for answer in found], bootstrap),
        resize_rate=resize_rate(answers) or 0.0,
        resize_rate_needed=resize_rate(answers, needed=True),
        resize_rate_not_needed=resize_rate(answers, needed=False),
        latency_s=latency.mean_s,
    )


def family_figures(
    row: Row, answers: Sequence[Answer], latency: Latency, *, held_out: bool
) -> tuple[FamilyFigures, ...]:
    """How a row did on each family of a set of samples, in alphabetical order."""
    families = sorted({answer.family for answer in answers})
    return tuple(
        _family(row, family, [one for one in answers if one.family == family], latency, held_out=held_out)
        for family in families
    )


def _family(row: Row, family: str, answers: Sequence[Answer], latency: Latency, *, held_out: bool) -> FamilyFigures:
    found = graded(answers)
    needs = {answer.needed for answer in answers}
    tokens = [answer.visual_tokens for answer in found]
    return FamilyFigures(
        family=family,
        row=row,
        needs_high_res=needs.pop() if len(needs) == 1 else None,
        held_out=held_out,
        num_samples=len(found),
        accuracy=share(answers, lambda answer: answer.correct) or 0.0,
        resize_rate=resize_rate(answers) or 0.0,
        visual_tokens=sum(tokens) / len(tokens) if tokens else 0.0,
        latency_s=latency.of_family(family),
    )


def confusion(answers: Sequence[Answer]) -> Confusion | None:
    """Asked against needed; None where no need is known."""
    known = [answer for answer in graded(answers) if answer.needed is not None]
    if not known:
        return None
    counts = {
        pair: sum((answer.needed, answer.asked) == pair for answer in known)
        for pair in ((True, True), (True, False), (False, True), (False, False))
    }
    return Confusion(
        needed_asked=counts[True, True],
        needed_answered=counts[True, False],
        not_needed_asked=counts[False, True],
        not_needed_answered=counts[False, False],
    )


def gate_figures(answers: Sequence[Answer]) -> Figures:
    """What the gate decides by; times are left out, they differ from try to try."""
    found = graded(answers)
    tokens = [answer.visual_tokens for answer in found]
    return Figures(
        num_samples=len(found),
        accuracy=share(answers, lambda answer: answer.correct) or 0.0,
        visual_tokens_mean=sum(tokens) / len(tokens) if tokens else 0.0,
        resize_ratio_needed=resize_rate(answers, needed=True),
        resize_ratio_not_needed=resize_rate(answers, needed=False),
        failed_ratio=sum(answer.failed or answer.got is None for answer in answers) / max(len(answers), 1),
    )


def eval_metrics(
    rows: Sequence[RowFigures], families: Sequence[FamilyFigures], latencies: Mapping[Row, Latency]
) -> dict[str, float]:
    """Every number of an evaluation under its registered name."""
    high = next((figures.visual_tokens.value for figures in rows if figures.row is Row.ALWAYS_HIGH), 0.0)
    values: dict[str, float | None] = {}
    for figures in rows:
        pairs: dict[Metric, float | None] = {
            m.EVAL_NUM_SAMPLES: figures.num_samples,
            m.EVAL_ACCURACY: figures.accuracy.value,
            m.EVAL_ACCURACY_LOW: figures.accuracy.low,
            m.EVAL_ACCURACY_HIGH: figures.accuracy.high,
            m.EVAL_RESIZE_RATE: figures.resize_rate,
            m.EVAL_RESIZE_RATE_NEEDED: figures.resize_rate_needed,
            m.EVAL_RESIZE_RATE_NOT_NEEDED: figures.resize_rate_not_needed,
            m.EVAL_VISUAL_TOKENS_MEAN: figures.visual_tokens.value,
            m.EVAL_VISUAL_TOKEN_RATIO: figures.visual_tokens.value / high if high else None,
            m.EVAL_LATENCY_S: latencies[figures.row].mean_s,
            m.EVAL_LATENCY_P95_S: latencies[figures.row].p95_s,
        }
        values |= {metric.key(row=figures.row): value for metric, value in pairs.items()}
    for family in families:
        pairs = {
            m.EVAL_FAMILY_ACCURACY: family.accuracy,
            m.EVAL_FAMILY_RESIZE_RATE: family.resize_rate,
            m.EVAL_FAMILY_VISUAL_TOKENS_MEAN: family.visual_tokens,
            m.EVAL_FAMILY_LATENCY_S: family.latency_s,
        }
        values |= {metric.key(row=family.row, family=family.family): value for metric, value in pairs.items()}
    return {key: float(value) for key, value in values.items() if value is not None}
