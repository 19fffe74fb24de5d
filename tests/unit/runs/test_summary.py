import json
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.core.json_value import Json, as_object
from visionthink.errors import DataError
from visionthink.runs import RunFolder, StageResult
from visionthink.runs.summary import keep_summary, summary_of
from visionthink.storage import atomic_write_json


def row(label: str, role: str, accuracy: float, needed: float, not_needed: float) -> Json:
    return {
        "label": label,
        "role": role,
        "num_samples": 600,
        "num_failed": 0,
        "failures": {},
        "accuracy": {"value": accuracy, "low": 0.0, "high": 1.0},
        "visual_tokens": {"value": 9.0, "low": 8.0, "high": 10.0},
        "resize_rate": 0.3,
        "resize_rate_needed": needed,
        "resize_rate_not_needed": not_needed,
    }


def finished_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(tiny_config({"seed": 3, "data.world_seed": 7, "reward.penalty": "released"}))
    rows: dict[str, Json] = {
        "always_low": row("quarter view only", "quarter_view", 0.6, 0.0, 0.0),
        "always_high": row("full view always", "full_view", 0.98, 0.0, 0.0),
        "base": row("base model", "base", 0.8, 0.5, 0.5),
        "trained": row("trained model", "candidate", 0.97, 0.99, 0.01),
    }
    ratio: Json = {"value": 0.58, "low": 0.5, "high": 0.6}
    incumbent: Json = {"state": "none", "version": None, "source": "", "reason": ""}
    folder.keep_result("label", StageResult(facts={"label_agreement": 0.99}))
    folder.keep_result("train", StageResult())
    folder.keep_result(
        "evaluate",
        StageResult(facts={"rows": rows, "visual_token_ratio": ratio, "held_out": None, "incumbent": incumbent}),
    )
    folder.keep_result("register", StageResult(facts={"promoted": True, "version": "4"}))
    folder.keep_result("serve", StageResult(facts={"served_answer": "47", "served_want": "47"}))
    for stage, wall_s in (("label", 60.04), ("train", 300.0), ("evaluate", 50.0)):
        atomic_write_json(path / stage / "seconds.json", {"wall_s": wall_s})
    return folder


def test_summary_has_the_promised_shape(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run-1")
    keep_summary(folder, summary_of(folder, total_s=430.26))
    want = {
        "resize_rate": {"needed": 0.99, "not_needed": 0.01},
        "accuracy": {"always_low": 0.6, "always_high": 0.98, "base": 0.8, "trained": 0.97},
        "visual_token_ratio": 0.58,
        "label_agreement": 0.99,
        "seconds": {"label": 60.0, "train": 300.0, "evaluate": 50.0, "total": 430.3},
        "seed": 3,
        "served_answer": "47",
    }
    got = json.loads(folder.summary_path.read_text())
    assert {key: got[key] for key in want} == want
    more = {"served_want": "47", "promoted": True, "penalty": "released", "world_seed": 7, "held_out": None}
    assert {key: got[key] for key in more} == more


def test_summary_of_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run-1")
    (folder.stage_dir("serve") / "result.json").unlink()
    with pytest.raises(DataError, match="stage serve"):
        summary_of(folder, total_s=1.0)
    assert not folder.summary_path.exists()


def test_summary_finds_the_candidate_by_role_and_lists_every_contender(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run-1")
    facts = dict(folder.finished("evaluate").facts)
    facts["rows"] = {
        "full": row("full view", "full_view", 0.98, 0.0, 0.0),
        "champion": row("model in use", "incumbent", 0.9, 0.7, 0.2),
        "mine": row("my model", "candidate", 0.95, 0.97, 0.03),
    }
    folder.keep_result("evaluate", StageResult(facts=facts))
    summary = summary_of(folder, total_s=1.0)
    assert summary["resize_rate"] == {"needed": 0.97, "not_needed": 0.03}
    assert summary["accuracy"] == {"full": 0.98, "champion": 0.9, "mine": 0.95}


def test_summary_tells_the_shortcut_apart(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run-1")
    result = folder.finished("evaluate")
    shortcut: Json = {**as_object(row("trained, with shortcut", "other", 0.99, 0.0, 0.0)), "shortcut_rate": 0.5}
    rows: Json = {**as_object(result.facts["rows"]), "first_look": shortcut}
    folder.keep_result("evaluate", StageResult(facts={**result.facts, "rows": rows}))
    summary = summary_of(folder, total_s=1.0)
    assert summary["accuracy"] == {"always_low": 0.6, "always_high": 0.98, "base": 0.8, "trained": 0.97}
    assert summary["first_look"] == {"accuracy": 0.99, "visual_tokens": 9.0, "shortcut_rate": 0.5}
