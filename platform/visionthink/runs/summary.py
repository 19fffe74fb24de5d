"""The run in a few lines: what `summary.json` holds.

Rule: every figure is read from the results of the stages; none is computed a second time.
"""

from collections.abc import Mapping
from typing import Final

from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json, JsonObject, as_object
from visionthink.runs.folder import STAGES, RunFolder, Stage
from visionthink.runs.stopwatch import read_seconds
from visionthink.storage import atomic_write_json

_TIMED: Final[tuple[Stage, ...]] = ("label", "train", "evaluate")


def keep_summary(folder: RunFolder, summary: Mapping[str, Json]) -> None:
    """Write `summary.json`, which marks the run as done."""
    atomic_write_json(folder.summary_path, dict(summary))


def summary_of(folder: RunFolder, *, total_s: float) -> dict[str, Json]:
    """The figures of a run whose stages are all done; `total_s` is the wall time of all tries of the whole run.

    Raises:
        DataError: one is not.
    """
    facts = {stage: folder.finished(stage).facts for stage in STAGES}
    config, rows = folder.config(), as_object(facts["evaluate"]["rows"])
    own = {name: row for name, row in rows.items() if as_object(row).get("shortcut_rate") is None}
    candidate = next(found for found in map(as_object, rows.values()) if found["role"] == ContenderRole.CANDIDATE)
    seconds: dict[str, Json] = {stage: round(read_seconds(folder.seconds_path(stage)), 1) for stage in _TIMED}
    return {
        "resize_rate": {"needed": candidate["resize_rate_needed"], "not_needed": candidate["resize_rate_not_needed"]},
        "accuracy": {name: as_object(as_object(figures)["accuracy"])["value"] for name, figures in own.items()},
        "visual_token_ratio": _value(facts["evaluate"]["visual_token_ratio"]),
        "label_agreement": facts["label"]["label_agreement"],
        "seconds": {**seconds, "total": round(total_s, 1)},
        "seed": config.seed,
        "served_answer": facts["serve"]["served_answer"],
        "served_want": facts["serve"]["served_want"],
        "held_out": facts["evaluate"]["held_out"],
        "promoted": facts["register"]["promoted"],
        "model_version": facts["register"]["version"],
        "penalty": config.reward.penalty,
        "world_seed": config.data.world_seed,
        "run_id": folder.run_id,
        **{name: _shortcut(as_object(row)) for name, row in rows.items() if name not in own},
    }


def _shortcut(row: JsonObject) -> Json:
    """A contender with the first-look shortcut stands apart: it is another way to ask a model that has its line."""
    return {
        "accuracy": _value(row["accuracy"]),
        "visual_tokens": _value(row["visual_tokens"]),
        "shortcut_rate": row["shortcut_rate"],
    }


def _value(interval: Json) -> Json:
    return as_object(interval)["value"] if interval else None
