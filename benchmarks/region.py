"""Does a preset learn where to look? The whole run repeated with several seeds, each on its own pictures.

A seed's run is the command that users give. Prints a line a seed with the acceptance figures and writes them to a JSON
file after every run; what is there is not repeated. Beside the wall seconds stand those of the processor, which another
program on the machine does not lengthen.

    python benchmarks/region.py --out runs/bench-region --paper runs/latest
    python benchmarks/region.py --preset scattered
    python benchmarks/region.py --preset second-look --seeds 0 1

With `--paper`, the folder of a run of the paper's own method on the world of the first seed, the figure of accuracy
against tokens shows both.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import processor
from visionthink.core.gate import ContenderRole
from visionthink.report.pareto_figure import pareto_figure
from visionthink.report.record import ContenderFigures, Interval
from visionthink.report.theme import LIGHT, png

TIMEOUT_S = 3 * 3600
RESULTS = Path(__file__).parent / "results" / "region"


def run(preset: str, seed: int, out: Path, extra: Sequence[str]) -> dict[str, float]:
    """Wall and processor seconds of a seed's run, which is made if it is not there yet."""
    folder, took = out / f"seed-{seed}", out / f"seed-{seed}.json"
    if not took.exists():
        sets = [f"seed={seed}", f"data.world_seed={seed}", f"register_model.name={preset}-{seed}", *extra]
        options = [option for setting in sets for option in ("--set", setting)]
        command = ["run", "--direct", "--preset", preset, "--run-dir", str(folder), *options]
        took.write_text(json.dumps(_called(command, out / f"seed-{seed}.log")))
    found: dict[str, float] = json.loads(took.read_text())
    return found


def figures(seed: int, result: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
    """The acceptance figures of a seed, of what its evaluation found."""
    rows, held_out = result["facts"]["rows"], result["facts"]["held_out"]
    trained, high = rows["trained"], rows["always_high"]
    return {
        "seed": seed,
        "visual_token_ratio": trained["visual_token_ratio"],
        "resize_rate": {"needed": trained["resize_rate_needed"], "not_needed": trained["resize_rate_not_needed"]},
        "right_region": trained["right_region_ratio"],
        "whole": trained["whole_ratio"],
        "accuracy": {
            "trained": trained["accuracy"]["value"],
            "always_high": high["accuracy"]["value"],
            "trained_needed": trained["accuracy_needed"],
            "always_high_needed": high["accuracy_needed"],
        },
        "held_out": {
            "resize_rate": held_out["resize_rate"],
            "accuracy": {name: held_out["accuracy"][name] for name in ("trained", "always_high")},
            "visual_token_ratio": _held_out_tokens(result["metrics"]),
        },
        "families": _by_family(result["metrics"]),
        "seconds": seconds["wall_s"],
        "processor_seconds": seconds["processor_s"],
    }


def _by_family(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """By family: accuracy of the trained model and of both views alone, and visual tokens of an episode."""
    told = {
        "trained": "eval/family_accuracy/trained/",
        "always_high": "eval/family_accuracy/always_high/",
        "always_low": "eval/family_accuracy/always_low/",
        "visual_tokens": "eval/family_visual_tokens_mean/trained/",
    }
    families = sorted(name.removeprefix(told["trained"]) for name in metrics if name.startswith(told["trained"]))
    return {family: {name: metrics[prefix + family] for name, prefix in told.items()} for family in families}


def _held_out_tokens(metrics: Mapping[str, float]) -> float:
    """Of both families that were never trained on, which the evaluation asks equally often."""
    tokens = {
        row: sum(metrics[f"eval/family_visual_tokens_mean/{row}/{family}"] for family in ("corner", "suffix"))
        for row in ("trained", "always_high")
    }
    return tokens["trained"] / tokens["always_high"]


def main() -> int:
    """Run what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("region", "scattered", "second-look"), default="region")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="default: runs/bench-PRESET")
    parser.add_argument("--results", type=Path, help="default: summary.json, or PRESET.json, among the results")
    parser.add_argument("--set", dest="extra", action="append", default=[], help="further settings, key=value")
    parser.add_argument("--paper", type=Path, help="folder of a run with the default settings")
    args = parser.parse_args()
    args.out = args.out or Path("runs") / f"bench-{args.preset}"
    args.results = args.results or RESULTS / ("summary.json" if args.preset == "region" else f"{args.preset}.json")
    args.out.mkdir(parents=True, exist_ok=True)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in args.seeds:
        seconds = run(args.preset, seed, args.out, args.extra)
        found.append(figures(seed, _result(args.out / f"seed-{seed}"), seconds))
        print(json.dumps(found[-1]), flush=True)
        _write(args.results, found)
    if args.paper is not None:
        first = args.out / f"seed-{args.seeds[0]}"
        (args.results.parent / "pareto.png").write_bytes(pareto(_result(first), _result(args.paper)))
    return 0


def pareto(regions: Mapping[str, Any], paper: Mapping[str, Any]) -> bytes:
    """Accuracy against tokens of both methods, of either size alone, and of choosing it by lot, as a PNG."""
    rows = {
        ContenderRole.QUARTER_VIEW: ("quarter view only", regions["facts"]["rows"]["always_low"]),
        ContenderRole.FULL_VIEW: ("full view always", regions["facts"]["rows"]["always_high"]),
        ContenderRole.OTHER: ("asks for the whole", paper["facts"]["rows"]["trained"]),
        ContenderRole.CANDIDATE: ("looks at regions", regions["facts"]["rows"]["trained"]),
    }
    contenders = [_contender(role, label, row) for role, (label, row) in rows.items()]
    return png(pareto_figure(contenders, LIGHT))


def _contender(role: ContenderRole, label: str, row: Mapping[str, Any]) -> ContenderFigures:
    return ContenderFigures(
        name=role.value,
        label=label,
        role=role,
        num_samples=row["num_samples"],
        accuracy=Interval(**row["accuracy"]),
        visual_tokens=Interval(**row["visual_tokens"]),
        resize_rate=row["resize_rate"],
        resize_rate_needed=row["resize_rate_needed"],
        resize_rate_not_needed=row["resize_rate_not_needed"],
        latency_s=None,
    )


def _result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluate" / "result.json").read_text())
    return found


def _write(path: Path, seeds: Sequence[Mapping[str, Any]]) -> None:
    report = {
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformers", "visionthink")},
        "seeds": list(seeds),
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _called(arguments: Sequence[str], log: Path) -> dict[str, float]:
    start_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("ab") as output:
        command = [sys.executable, "-m", "visionthink", *arguments]
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise SystemExit(f"failed with {done.returncode}; see {log}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - start_s, 1), "processor_s": round(used_s, 1)}


if __name__ == "__main__":
    sys.exit(main())
