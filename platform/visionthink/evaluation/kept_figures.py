"""The figures of an evaluation that is done, read back from what it left.

Rule: nothing is computed again: what stands in the result is shown. Times stand among its metrics, all else among its
facts.
"""

from collections.abc import Mapping

from visionthink import metrics as m
from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json, JsonObject
from visionthink.errors import DataError
from visionthink.metrics import Metric
from visionthink.report.record import BenchmarkFigures, ContenderFigures, Interval, PairedFigures
from visionthink.runs import RunFolder, StageResult


def kept_figures(folder: RunFolder) -> BenchmarkFigures:
    """What the contenders of a run's evaluation came to.

    Raises:
        DataError: the run has not been evaluated, or by another version.
    """
    result = folder.finished("evaluate")
    try:
        return _figures(result, folder.run_id)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the evaluation of run {folder.path} was made by another version ({error!r}); evaluate its model again: "
            "visionthink evaluate --model DIR"
        ) from error


def _figures(result: StageResult, run_id: str) -> BenchmarkFigures:
    facts = result.facts
    rows, pairs, official = _object(facts["rows"]), _object(facts["paired"]), _object(facts["official"])
    return BenchmarkFigures(
        name=str(facts["benchmark"]),
        contenders=tuple(_contender(name, _object(row), pairs.get(name), result.metrics) for name, row in rows.items()),
        official={name: {key: _number(value) for key, value in _object(row).items()} for name, row in official.items()},
        origin=f"run {run_id}",
    )


def _contender(name: str, row: JsonObject, pair: Json, metrics: Mapping[str, float]) -> ContenderFigures:
    def measured(metric: Metric) -> float | None:
        return metrics.get(metric.key(row=name))

    return ContenderFigures(
        name=name,
        label=str(row["label"]),
        role=ContenderRole(str(row["role"])),
        num_samples=int(_number(row["num_samples"])),
        failures={reason: int(_number(count)) for reason, count in _object(row["failures"]).items()},
        accuracy=_interval(row["accuracy"]),
        visual_tokens=_interval(row["visual_tokens"]),
        resize_rate=_number(row["resize_rate"]),
        resize_rate_needed=_maybe(row["resize_rate_needed"]),
        resize_rate_not_needed=_maybe(row["resize_rate_not_needed"]),
        shortcut_rate=_maybe(row["shortcut_rate"]),
        latency_s=measured(m.EVAL_LATENCY_S),
        latency_p50_s=measured(m.EVAL_LATENCY_P50_S),
        latency_p95_s=measured(m.EVAL_LATENCY_P95_S),
        reply_tokens=_maybe(row["reply_tokens"]),
        accuracy_asked=_maybe(row["accuracy_asked"]),
        accuracy_direct=_maybe(row["accuracy_direct"]),
        accuracy_needed=_maybe(row["accuracy_needed"]),
        whole_ratio=_maybe(row["whole_ratio"]),
        right_region_ratio=_maybe(row["right_region_ratio"]),
        visual_tokens_asked=_maybe(row["visual_tokens_asked"]),
        regret=_maybe(row["regret"]),
        visual_token_ratio=_maybe(row["visual_token_ratio"]),
        drops_tokens=row["drops_tokens"] is True,
        paired=None if pair is None else _paired(_object(pair)),
    )


def _paired(pair: JsonObject) -> PairedFigures:
    return PairedFigures(
        num_samples=int(_number(pair["num_samples"])),
        difference=_number(pair["difference"]),
        won=int(_number(pair["won"])),
        lost=int(_number(pair["lost"])),
        p_value=_number(pair["p_value"]),
    )


def _interval(value: Json) -> Interval:
    ends = _object(value)
    return Interval(value=_number(ends["value"]), low=_number(ends["low"]), high=_number(ends["high"]))


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def _number(value: Json) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def _maybe(value: Json) -> float | None:
    return None if value is None else _number(value)
