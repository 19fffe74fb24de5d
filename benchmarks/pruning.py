"""Dropping visual tokens against choosing the view: score, tokens and seconds side by side, on three worlds.

The full view by the base model, whole or with tokens dropped by FastV, SparseVLM or VisionZip; the quarter view; and
the loop of a finished run's model, whole or with tokens of its full view dropped. Scores are of questions asked
together, seconds of questions asked alone: each by every contender in a row, so that other work on the machine slows
all alike.

Visual tokens are what the language model computes, mean over its layers (docs/baselines.md).

    python benchmarks/pruning.py --run runs/latest --out benchmarks/results/pruning.json
"""

import argparse
import asyncio
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent.parent))

from machine import processor
from visionthink.config import RunConfig, override_config
from visionthink.core import Sample
from visionthink.datasets.world import generate
from visionthink.engines import Sampling, pruned_engine
from visionthink.episodes.opening import open_runner
from visionthink.episodes.runner import Ask, EpisodeRunner
from visionthink.evaluation.contender import Contender, computed_tokens, usual_contenders
from visionthink.judges import GradeItem, RuleJudge
from visionthink.model.bundled import base_folder
from visionthink.runs import RunFolder
from visionthink.stage import engine_of, set_up_torch
from visionthink.storage import atomic_write_json

SEEDS = (11, 12, 13)
METHODS = ("fastv", "sparsevlm", "visionzip")
RATIOS = (0.7, 0.5, 0.25)
PRUNED = (
    *(f"always_high+{method}@{ratio}" for ratio in RATIOS for method in METHODS),
    *(f"trained+{method}@0.5" for method in METHODS),
)
LEFT_OUT = ("base", "first_look")
FULL = "always_high"
FIGURES = ("score", "score_needed", "score_not_needed", "visual_tokens", "seconds")
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A contender, ready to be asked."""

    contender: Contender
    runner: EpisodeRunner

    def ask(self, config: RunConfig) -> Ask:
        sampling = Sampling(temperature=0.0, max_tokens=config.episode.max_reply_tokens)
        return Ask(policy=self.contender.policy, sampling=sampling)


async def scored(entrant: Entrant, samples: Sequence[Sample], config: RunConfig) -> Figures:
    """Scores and tokens of all samples, asked together."""
    ask, judge = entrant.ask(config), RuleJudge()
    finishes = await asyncio.gather(*(entrant.runner.episode(sample, ask) for sample in samples))
    grades = [
        await judge.grade(GradeItem(question=sample.question, answer=sample.answer, prediction=finish.answer))
        for sample, finish in zip(samples, finishes, strict=True)
    ]
    by_need: dict[bool | None, list[float]] = {True: [], False: []}
    for sample, grade in zip(samples, grades, strict=True):
        by_need[sample.needs_high_res].append(grade.correct)
    return {
        "score": fmean(grade.correct for grade in grades),
        "score_needed": fmean(by_need[True]),
        "score_not_needed": fmean(by_need[False]),
        "visual_tokens": fmean(computed_tokens(finish.trace) for finish in finishes),
    }


async def timed(entrants: Mapping[str, Entrant], samples: Sequence[Sample], config: RunConfig) -> dict[str, float]:
    """Mean seconds of a question that is asked alone, by contender."""
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    row = deque(entrants.items())
    for index, sample in enumerate([*samples[:1], *samples]):  # the first one is slow
        row.rotate()  # nobody is always the first to see a picture
        for name, entrant in row:
            finish = await entrant.runner.episode(sample, entrant.ask(config))
            if index:
                seconds[name].append(finish.trace.latency_s)
    return {name: fmean(found) for name, found in seconds.items()}


async def measured(folder: RunFolder, count: int, num_timed: int) -> dict[str, object]:
    config = override_config(folder.config(), {"evaluate.contenders": list(PRUNED)})
    contenders = usual_contenders(base_folder(config.model.base), folder.trained_model, config)
    entrants: dict[str, Entrant] = {}
    worlds: dict[str, dict[str, Figures]] = {}
    async with AsyncExitStack() as stack:
        for one in contenders:
            if one.name not in LEFT_OUT:
                engine = pruned_engine(engine_of("transformers", one.model, config.model, os.environ), one.pruning)
                runner = await stack.enter_async_context(open_runner(engine, RuleJudge(), config))
                entrants[one.name] = Entrant(contender=one, runner=runner)
        for seed in SEEDS:
            samples = list(generate("test", count, seed=seed, families=config.data.families))
            figures = {name: await scored(entrant, samples, config) for name, entrant in entrants.items()}
            for name, seconds in (await timed(entrants, samples[:num_timed], config)).items():
                figures[name]["seconds"] = seconds
            worlds[str(seed)] = figures
            print(f"world {seed} done", file=sys.stderr, flush=True)
    return {
        "processor": processor(),
        "num_questions_a_world": count,
        "num_timed_a_world": num_timed,
        "fastv_layer": config.evaluate.fastv_layer,
        "sparsevlm_layers": list(config.evaluate.sparsevlm_layers),
        "worlds": worlds,
        "mean": {name: _mean([world[name] for world in worlds.values()]) for name in entrants},
    }


def _mean(worlds: Sequence[Figures]) -> Figures:
    return {figure: fmean(world[figure] for world in worlds) for figure in FIGURES}


def table(result: Mapping[str, object]) -> str:
    """Means over the worlds in Markdown, with the lowest and highest score of a world."""
    means, worlds = result["mean"], result["worlds"]
    assert isinstance(means, dict) and isinstance(worlds, dict)
    full = means[FULL]
    lines = [
        "| contender | score | lowest - highest | needs the full view | does not | visual tokens | of always_high's | "
        "seconds | of always_high's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in means.items():
        scores = [world[name]["score"] for world in worlds.values()]
        tokens, seconds = one["visual_tokens"] / full["visual_tokens"], one["seconds"] / full["seconds"]
        lines.append(
            f"| `{name}` | {one['score']:.1%} | {min(scores):.1%} - {max(scores):.1%} | {one['score_needed']:.1%} | "
            f"{one['score_not_needed']:.1%} | {one['visual_tokens']:.1f} | {tokens:.0%} | {one['seconds']:.3f} | "
            f"{seconds:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="questions of each world")
    parser.add_argument("--timed", type=int, default=60, help="of these, how many are asked alone")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    set_up_torch(2)
    result = asyncio.run(measured(RunFolder(options.run), options.count, options.timed))
    print(table(result))
    if options.out is not None:
        atomic_write_json(options.out, result)


if __name__ == "__main__":
    main()
