"""The labels of a data set in numbers. Pure.

Rule: a share is left out where it is a share of nothing; a made-up 0 or 1 would be drawn into a chart.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from visionthink import metrics as m
from visionthink.core.json_value import Json
from visionthink.core.label import Label, LabelRule
from visionthink.labeling.first_look import Learned
from visionthink.labeling.record import Labelled


def label_metrics(records: Sequence[Labelled], rule: LabelRule) -> dict[str, float]:
    """Counts, agreement with the ground truth, and how often rollouts were right at either size."""
    counts = Counter(record.label for record in records)
    values = {
        m.LABEL_NUM_SAMPLES: len(records),
        m.LABEL_NUM_NEEDED: counts[Label.NEEDED],
        m.LABEL_NUM_NOT_NEEDED: counts[Label.NOT_NEEDED],
        m.LABEL_NUM_DISCARDED: counts[Label.DISCARDED],
        m.LABEL_NUM_FAILED: counts[None],
    }
    figures = {metric.key(): float(value) for metric, value in values.items()}
    told = [record for record in records if record.needed is not None and record.truth is not None]
    if told:
        agreed = sum(record.needed == record.truth for record in told)
        figures[m.LABEL_AGREEMENT_RATIO.key()] = agreed / len(told)
    num_rollouts = rule.num_rollouts * sum(record.label is not None for record in records)
    if num_rollouts:
        graded = [record for record in records if record.label is not None]
        figures[m.LABEL_ACCURACY_QUARTER.key()] = sum(one.num_correct_quarter for one in graded) / num_rollouts
        figures[m.LABEL_ACCURACY_FULL.key()] = sum(one.num_correct_full for one in graded) / num_rollouts
    return figures


def forecast_metrics(learned: Learned | None) -> dict[str, float]:
    """How far the forecast of a call can be believed, where there is one."""
    if learned is None:
        return {}
    figures: dict[str, float] = {}
    if (questions := learned.unseen_questions) is not None:
        figures[m.LABEL_FORECAST_BRIER.key()] = questions.brier
    if (families := learned.unseen_families) is not None:
        figures[m.LABEL_FORECAST_BRIER_UNSEEN.key()] = families.brier
        figures[m.LABEL_FORECAST_ERROR_UNSEEN.key()] = families.error
    return figures


def label_counts(records: Sequence[Labelled]) -> Mapping[str, Json]:
    """How many samples of each family got which label."""
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        name = record.label.value if record.label else "failed"
        family = counts.setdefault(record.family, {})
        family[name] = family.get(name, 0) + 1
    return {family: dict(sorted(found.items())) for family, found in sorted(counts.items())}
