"""Stages that make tiny files at once, for tests of the pipeline around them.

The configuration may tell one stage how to misbehave: `{"train": "refuse" | "crash" | "die" | "hang"}`. What it calls
`note` is written down as it arrived.
"""

import json
import os
import signal
import time
from pathlib import Path

from visionthink.errors import UserError

MADE = {
    "label": {"dataset": "label/dataset.parquet"},
    "train": {"model": "train/model", "steps": "train/steps.jsonl"},
    "evaluate": {"results": "evaluate/results.json"},
    "register": {},
    "serve": {},
}


def run_stage(name: str, config_json: str, run_dir: str) -> dict[str, object]:
    folder = Path(run_dir)
    print(f"{name}: at work")
    if "note" in json.loads(config_json):
        (folder / "note.json").write_text(json.dumps(json.loads(config_json)["note"]))
    match json.loads(config_json).get(name):
        case "refuse":
            raise UserError(f"{name} wants a better setting")
        case "crash":
            raise ZeroDivisionError(f"{name} has a bug")
        case "hang":
            (folder / "hanging").write_text(str(os.getpid()))
            time.sleep(60)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    result_path = folder / name / "result.json"
    if result_path.exists():
        print(f"{name}: done before")
        found: dict[str, object] = json.loads(result_path.read_text())
        return found
    for needed in {"train": ["label"], "evaluate": ["label", "train"], "register": ["train", "evaluate"]}.get(name, []):
        assert (folder / needed / "result.json").exists(), f"{name} needs {needed}"
    for place in MADE[name].values():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(f"{name} {place}")
        else:
            (path / "deep").mkdir(parents=True)
            (path / "deep" / "weights.bin").write_bytes(b"\0" * 100)
    html = None
    if name == "evaluate":
        html = "report.html"
        (folder / html).write_text("<p>report</p>")
    result: dict[str, object] = {
        "metrics": {f"stage/wall_s/{name}": 1.5},
        "artifacts": MADE[name],
        "confusion": [[9, 1], [0, 20]] if name == "evaluate" else None,
        "html": html,
        "facts": {},
    }
    result_path.parent.mkdir(parents=True, exist_ok=True)
    result_path.write_text(json.dumps(result))
    return result
