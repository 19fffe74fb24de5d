"""Does veRL with vLLM teach the base model on one GPU? Seeds one after the other, each to a merged and judged model.

Each seed trains on the labels of a label stage (its `dataset.parquet`) from the bundled base model, until the steps are
taken; then the project's own evaluation asks the merged model and `always_high` the same held-out questions, greedily.
Writes, after every seed, `summary.json` with device, stack, command, figures and whether the bounds hold, and
`curves.jsonl` with each step under its registered names. A seed that fails is written down as well. Seeds that OUT
holds already, of the same device and stack, stay there, so a second run may add some.

    python benchmarks/verl/gpu.py --labels runs/latest/label/dataset.parquet --out "$OUT"

`--device cpu` tries all of it without a GPU (give it `--steps 2 --prompts 4 --group 4 --questions 12`).
"""

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from visionthink.config import RunConfig, override_config
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import read_samples
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.asking import ask_open
from visionthink.episodes.opening import open_runner
from visionthink.errors import VisionThinkError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.asking import series_of
from visionthink.evaluation.benchmarks import benchmark_of
from visionthink.evaluation.contender import Contender, usual_contenders
from visionthink.evaluation.figures import mean_score, resize_rate
from visionthink.judges import RuleJudge
from visionthink.model.bundled import bundled_path
from visionthink.samples import samples_to_evaluate
from visionthink.storage import atomic_write_json, open_store
from visionthink.training.verl.plan import Override, VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows
from visionthink.training.verl.run import train

MAX_S = 600.0
STEP_S = 10.0
STACK = ("verl", "vllm", "torch", "transformers", "ray", "tensordict", "TransferQueue", "numpy")

# What a tiny model on one large GPU wants besides the run's settings; source: the runs of docs/verl.md, "One GPU".
GPU: dict[str, Override] = {
    "actor_rollout_ref.rollout.dtype": "bfloat16",
    "actor_rollout_ref.rollout.gpu_memory_utilization": 0.3,
    "actor_rollout_ref.rollout.enforce_eager": True,
    "actor_rollout_ref.rollout.max_num_seqs": 512,
    "actor_rollout_ref.rollout.agent.num_workers": 12,
    "actor_rollout_ref.model.enable_gradient_checkpointing": False,
    "+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype": "fp32",
    "+actor_rollout_ref.ref.fsdp_config.mixed_precision.param_dtype": "fp32",
    "algorithm.rollout_correction.bypass_mode": True,
}


@dataclass(slots=True)
class Seed:
    """What became of one seed."""

    seed: int
    seconds: float = 0.0
    """From the start to the merged model."""
    steps: list[dict[str, float]] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None

    @property
    def holds(self) -> dict[str, bool]:
        """Each bound, and whether it holds."""
        if not self.figures:
            return {}
        found = {name: value or 0.0 for name, value in self.figures.items()}
        return {
            "asks_where_needed": found["resize_rate_needed"] >= 0.98,
            "asks_where_not": found["resize_rate_not_needed"] <= 0.02,
            "accuracy_of_always_high": found["accuracy"] >= 0.98 * found["accuracy_always_high"],
            "seconds": self.seconds <= MAX_S,
        }

    def to_dict(self) -> dict[str, Any]:
        """As `summary.json` holds it."""
        times = [step["perf/step_s"] for step in self.steps[1:]]
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "num_steps": len(self.steps),
            "step_s_median": round(median(times), 2) if times else None,
            "step_s_holds": bool(times) and median(times) <= STEP_S,
            "figures": self.figures,
            "holds": self.holds,
            "passed": bool(self.holds) and all(self.holds.values()),
            "error": self.error,
        }


def config_of(seed: int, args: argparse.Namespace) -> RunConfig:
    """The run's settings: those of the local trainer, with veRL's larger batches and fewer steps."""
    settings: dict[str, object] = {
        "seed": seed,
        "train.num_steps": args.steps,
        "train.num_prompts": args.prompts,
        "train.group_size": args.group,
        "train.warmup_steps": min(5, args.steps // 4),
        "train.micro_batch_size": min(128, max(1, args.prompts // 4) * args.group // args.nodes),
        "train.checkpoint_every": args.steps,
        "evaluate.num_samples": args.questions,
        "evaluate.num_held_out_samples": args.questions // 5,
    }
    return override_config(RunConfig(), settings)


def trained(found: Seed, config: RunConfig, samples: Sequence[Sample], work: Path, args: argparse.Namespace) -> Path:
    """The merged model of a seed."""
    rows = work / "rows.parquet"
    ordered = training_order(samples, config.train, seed=config.seed)
    write_rows(rows, ordered, store_pictures(samples, open_store(str(work / "pictures"))))
    changes = dict(GPU) if args.device == "cuda" else {}
    changes["actor_rollout_ref.actor.ppo_mini_batch_size"] = max(1, args.prompts // 4)
    for name in ("rollout", "ref"):  # all that a GPU has of a step at once
        key = f"actor_rollout_ref.{name}.log_prob_micro_batch_size_per_gpu"
        changes[key] = args.prompts * args.group // args.nodes
    plan = VerlPlan(
        train_rows=rows,
        base_model=bundled_path(),
        output=work,
        run_id=f"verl-gpu-{found.seed}",
        num_nodes=args.nodes,
        device=args.device,
        num_checkpoints=1,
        overrides=changes,
    )

    def on_step(step: int, metrics: Mapping[str, float]) -> None:
        found.steps.append({"step": float(step), **metrics})
        told = {name: round(metrics.get(name, float("nan")), 3) for name in SHOWN}
        print(f"seed {found.seed} step {step}/{args.steps} {told}", flush=True)

    return train(plan, config, on_step=on_step, python=args.python)


SHOWN = ("reward/mean", "resize/rate_needed", "resize/rate_not_needed", "group/num_kept", "perf/step_s")


def judged(model: Path, config: RunConfig, work: Path, device: str) -> dict[str, float | None]:
    """The evaluation's figures of the model and of `always_high`, both on the same questions."""
    tests = samples_to_evaluate(config)
    low, high, base, candidate = usual_contenders(bundled_path(), model, config)
    del low, base
    answers = {
        name: asyncio.run(_answers(contender, samples, config, work / "answers" / name, device))
        for name, contender, samples in (
            ("trained", candidate, tests.samples),
            ("always_high", high, tests.samples),
            ("held_out", candidate, tests.held_out),
        )
    }
    return {
        "num_questions": float(len(answers["trained"])),
        "accuracy": mean_score(answers["trained"]),
        "accuracy_always_high": mean_score(answers["always_high"]),
        "resize_rate_needed": resize_rate(answers["trained"], needed=True),
        "resize_rate_not_needed": resize_rate(answers["trained"], needed=False),
        "accuracy_held_out": mean_score(answers["held_out"]),
        "resize_rate_needed_held_out": resize_rate(answers["held_out"], needed=True),
        "resize_rate_not_needed_held_out": resize_rate(answers["held_out"], needed=False),
    }


async def _answers(
    contender: Contender, samples: Sequence[Sample], config: RunConfig, folder: Path, device: str
) -> Sequence[Answer]:
    engine = TransformersEngine.load(contender.model, batch_size=config.model.batch_size, device=device)
    series = series_of(contender, benchmark_of(config), "test", samples, folder=folder, shard_size=len(samples))
    async with open_runner(engine, RuleJudge(), config) as runner:
        await ask_open(runner, [series], total=len(samples), max_lost_ratio=0.0, on_record=lambda: None)
    return series.book.finished()


def run_seed(seed: int, samples: Sequence[Sample], args: argparse.Namespace) -> Seed:
    """Train and judge; what goes wrong is written down."""
    found, config = Seed(seed), config_of(seed, args)
    work = args.work / f"seed-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    start_s = time.monotonic()
    try:
        model = trained(found, config, samples, work, args)
        found.seconds = time.monotonic() - start_s
        found.figures = judged(model, config, work, args.device)
    except (VisionThinkError, RuntimeError) as error:
        found.seconds = found.seconds or time.monotonic() - start_s
        found.error = f"{type(error).__name__}: {error}"
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in STACK:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _stack() -> dict[str, Any]:
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.processor() or "CPU"
    return {"device": device, "python": platform.python_version(), "stack": _versions()}


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a run before this one wrote, of other seeds."""

    seeds: tuple[dict[str, Any], ...] = ()
    curves: tuple[str, ...] = ()

    @classmethod
    def read(cls, out: Path, without: Sequence[int]) -> "Earlier":
        """What `out` holds.

        Raises:
            SystemExit: it was measured with something else.
        """
        if not (out / "summary.json").exists():
            return cls()
        found = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        other = [name for name, value in _stack().items() if found.get(name) != value]
        if other:
            sys.exit(f"{out} was measured with another {' and '.join(other)}; name an empty folder")
        lines = (out / "curves.jsonl").read_text(encoding="utf-8").splitlines()
        return cls(
            tuple(row for row in found["seeds"] if row["seed"] not in without),
            tuple(line for line in lines if json.loads(line)["seed"] not in without),
        )


def write(out: Path, seeds: Sequence[Seed], earlier: Earlier) -> None:
    """Keep what is known by now."""
    rows = sorted((*earlier.seeds, *(seed.to_dict() for seed in seeds)), key=lambda row: row["seed"])
    summary = {
        **_stack(),
        "command": ["python", *sys.argv],
        "seeds": rows,
        "num_passed": sum(row["passed"] for row in rows),
    }
    atomic_write_json(out / "summary.json", summary)
    lines = [json.dumps({"seed": seed.seed, **step}) for seed in seeds for step in seed.steps]
    (out / "curves.jsonl").write_text("".join(f"{line}\n" for line in (*earlier.curves, *lines)), encoding="utf-8")


def main() -> int:
    """Run the seeds; 1 when one misses a bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="dataset.parquet of a label stage")
    parser.add_argument("--out", type=Path, required=True, help="folder for summary.json and curves.jsonl")
    parser.add_argument("--work", type=Path, default=Path("runs/verl-gpu"), help="folder for rows and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--nodes", type=int, default=1, help="of one GPU each; more than one with nodes.sh")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has veRL")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.work = args.work.resolve()
    samples = list(read_samples(args.labels))
    earlier = Earlier.read(args.out, args.seeds)
    seeds: list[Seed] = []
    for seed in args.seeds:
        seeds.append(run_seed(seed, samples, args))
        write(args.out, seeds, earlier)
        print(json.dumps(seeds[-1].to_dict(), indent=2), flush=True)
    return 0 if all(seed.to_dict()["passed"] for seed in seeds) else 1


if __name__ == "__main__":
    sys.exit(main())
