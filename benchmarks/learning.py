"""Does the method learn? Base model and training repeated with several seeds and both penalty rules.

Each seed builds its own base model from nothing, on one CPU thread; each penalty rule then labels, trains and evaluates
from it through the same command that users run. Prints a table with the acceptance figures and writes them, with the
machine and the versions, to a JSON file after every run. What is there is not repeated.

    python benchmarks/learning.py --out runs/bench --jobs 2
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import processor

RULES = ("paper", "released")
TIMEOUT_S = 2 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One acceptance figure."""

    name: str
    low: float | None = None
    high: float | None = None
    """None: no bound on this side."""

    def holds(self, value: float) -> bool:
        """Whether `value` is within the bound."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


BOUNDS = (
    Bound(name="resize_rate_needed", low=0.95),
    Bound(name="resize_rate_not_needed", high=0.05),
    Bound(name="accuracy_of_always_high", low=0.97),
    Bound(name="gain_over_base", low=1e-9),
    Bound(name="visual_token_ratio", high=0.62),
    Bound(name="label_agreement", low=0.95),
)


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """The acceptance figures of a run's summary."""
    accuracy = summary["accuracy"]
    return {
        "resize_rate_needed": summary["resize_rate"]["needed"],
        "resize_rate_not_needed": summary["resize_rate"]["not_needed"],
        "accuracy_of_always_high": accuracy["trained"] / accuracy["always_high"],
        "gain_over_base": accuracy["trained"] - accuracy["base"],
        "visual_token_ratio": summary["visual_token_ratio"],
        "label_agreement": summary["label_agreement"],
    }


def build_base(seed: int, out: Path) -> Path:
    """The base model of a seed; built if it is not there yet."""
    folder = out / f"base-{seed}"
    if not (folder / "manifest.json").exists():
        _call(["base-model", "build", "--out", str(folder), "--seed", str(seed)], out / f"base-{seed}.log")
    return folder


def run(seed: int, rule: str, base: Path, out: Path, extra: Sequence[str]) -> dict[str, Any]:
    """The summary of one run; taken again only if it is not there yet."""
    name = f"seed-{seed}-{rule}"
    summary = out / name / "summary.json"
    if not summary.exists():
        sets = [f"model.base={base}", f"seed={seed}", f"data.world_seed={1000 + seed}", f"reward.penalty={rule}"]
        sets += ["model.threads=1", *extra]
        options = [option for setting in sets for option in ("--set", setting)]
        _call(
            ["run", "--direct", "--run-dir", str(out / name), *options],
            out / f"{name}.log",
        )
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures a run a line, a `!` behind each that misses its bound."""
    names = [bound.name for bound in BOUNDS]
    lines = ["run".ljust(18) + "".join(name.rjust(26) for name in names)]
    for run_name, summary in sorted(rows.items()):
        values = figures(summary)
        cells = [f"{values[bound.name]:.3f}{' ' if bound.holds(values[bound.name]) else '!'}" for bound in BOUNDS]
        lines.append(run_name.ljust(18) + "".join(cell.rjust(26) for cell in cells))
    return "\n".join(lines)


def passed(summary: Mapping[str, Any]) -> bool:
    """Whether a run holds every bound."""
    values = figures(summary)
    return all(bound.holds(values[bound.name]) for bound in BOUNDS)


def main() -> int:
    """Run what is missing, print, write; 1 when the default rule fails for a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--out", type=Path, default=Path("runs/bench-learning"))
    parser.add_argument("--results", type=Path, default=Path("runs/bench-learning/learning.json"))
    parser.add_argument("--jobs", type=int, default=2, help="processes at once, one thread each")
    parser.add_argument("--set", dest="extra", action="append", default=[], help="further settings, key=value")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}

    def seed_task(seed: int) -> tuple[int, Path]:
        return seed, build_base(seed, args.out).resolve()

    def run_task(task: tuple[int, str, Path]) -> None:
        seed, rule, base = task
        rows[f"seed {seed} {rule}"] = run(seed, rule, base, args.out, args.extra)
        _write(args.results, rows)
        print(table(rows), flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        bases = list(pool.map(seed_task, args.seeds))
        list(pool.map(run_task, [(seed, rule, base) for rule in args.rules for seed, base in bases]))
    for rule in args.rules:
        own = {name: row for name, row in rows.items() if name.endswith(rule)}
        print(f"{rule}: {sum(map(passed, own.values()))} of {len(own)} seeds hold every bound")
    default = [row for name, row in rows.items() if name.endswith(RULES[0])]
    return 0 if all(map(passed, default)) else 1


def _write(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    report = {
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformers", "visionthink")},
        "bounds": {bound.name: [bound.low, bound.high] for bound in BOUNDS},
        "runs": {name: {"figures": figures(row), "passed": passed(row), "summary": row} for name, row in rows.items()},
    }
    path.write_text(json.dumps(report, indent=2, sort_keys=True, default=str) + "\n")


def _call(arguments: Sequence[str], log: Path) -> None:
    start_s = time.monotonic()
    print(f"visionthink {' '.join(arguments)}", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        command = [sys.executable, "-m", "visionthink", *arguments]
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, timeout=TIMEOUT_S, check=False
        )
    if done.returncode:
        raise SystemExit(f"failed with {done.returncode}; see {log}")
    print(f"  took {time.monotonic() - start_s:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
