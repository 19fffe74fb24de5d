"""What the first-look shortcut saves on mixes of questions: a run's own model and labels, one question at a time.

Every question is asked three times in a row (the loop, the loop with the shortcut, the full view at once), so that
other work on the machine slows all three alike. A mix weighs questions that need the full view against those that do
not; "needed" is the world's own truth.

    python benchmarks/first_look.py --run runs/latest --out benchmarks/results/first_look.json
"""

import argparse
import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from machine import processor
from visionthink.core import CallForecast, LookCosts, Sample, Trace
from visionthink.datasets.parquet import read_samples
from visionthink.datasets.world import FAMILIES, HELD_OUT_FAMILIES, TRAINED_FAMILIES, generate
from visionthink.engines import Sampling
from visionthink.episodes.opening import open_runner
from visionthink.episodes.runner import Ask, EpisodeRunner
from visionthink.judges import GradeItem, RuleJudge
from visionthink.labeling.calibration import calibration_of
from visionthink.labeling.first_look import Case, Learned, learn_forecast
from visionthink.picture import size_of
from visionthink.runs import RunFolder
from visionthink.stage import engine_of, set_up_torch
from visionthink.storage import atomic_write_json

MIXES = (0.2, 0.5, 0.8)
SIDES = (True, False)
GREEDY = Sampling(temperature=0.0, max_tokens=40)
WAYS: Mapping[str, Ask] = {
    "loop": Ask(policy="auto", sampling=GREEDY),
    "loop_shortcut": Ask(policy="auto", sampling=GREEDY, first_look="auto"),
    "always_high": Ask(policy="always_high", sampling=GREEDY),
}
Table = dict[str, dict[bool, list[tuple[float, Trace]]]]
"""By way, by need: what an answer is worth, and its trace."""


def learned(folder: RunFolder) -> Learned:
    """The forecast that the run's labels teach."""
    cases = [
        Case(question=one.question, size=size_of(one.picture), family=one.family, needed=bool(one.needs_high_res))
        for one in read_samples(folder.dataset_path)
    ]
    found = learn_forecast(cases)
    if not isinstance(found, Learned):
        raise SystemExit(f"no forecast: {found.reason}")
    return found


def samples_of(families: Sequence[str], needed: bool, count: int) -> list[Sample]:
    chosen = [name for name in families if FAMILIES[name].needs_high_res is needed]
    return list(generate("test", count, seed=1, families=chosen))


async def asked(runner: EpisodeRunner, families: Sequence[str], count: int) -> Table:
    judge, table = RuleJudge(), {way: {side: [] for side in SIDES} for way in WAYS}
    for side in SIDES:
        for sample in samples_of(families, side, count):
            for way, ask in WAYS.items():
                finish = await runner.episode(sample, ask)
                grade = await judge.grade(
                    GradeItem(question=sample.question, answer=sample.answer, prediction=finish.answer)
                )
                table[way][side].append((grade.correct, finish.trace))
    return table


def mixed(table: Table, needed_ratio: float) -> dict[str, dict[str, float]]:
    """Means of a mix, and what they are to those of the full view."""

    def mean(way: str, value: int) -> float:
        parts = {side: [_values(one)[value] for one in table[way][side]] for side in SIDES}
        means = {side: sum(found) / len(found) for side, found in parts.items()}
        return needed_ratio * means[True] + (1 - needed_ratio) * means[False]

    return {
        way: {
            "accuracy": mean(way, 0),
            "visual_tokens": mean(way, 1),
            "token_ratio": mean(way, 1) / mean("always_high", 1),
            "speed_ratio": mean("always_high", 2) / mean(way, 2),
        }
        for way in WAYS
    }


def _values(one: tuple[float, Trace]) -> tuple[float, float, float]:
    correct, trace = one
    return correct, trace.visual_tokens, trace.latency_s


def costs_of(table: Table) -> LookCosts:
    """Mean seconds of the three kinds of turns."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for side in SIDES:
        for _, trace in table["loop"][side]:
            seconds["first"].append(trace.turns[0].reply.latency_s)
            seconds["further"] += [turn.reply.latency_s for before, turn in pairwise(trace.turns) if before.view]
        seconds["full"] += [trace.turns[0].reply.latency_s for _, trace in table["always_high"][side]]
    return LookCosts(**{name: sum(found) / len(found) for name, found in seconds.items()})


def held_out(forecast: CallForecast) -> dict[str, object]:
    """The forecast on the families that were never labelled."""
    samples = list(generate("test", 120, seed=1, families=HELD_OUT_FAMILIES))
    said = [forecast.probability(one.question, size_of(one.picture)) for one in samples]
    found = calibration_of(said, [bool(one.needs_high_res) for one in samples])
    return found.to_dict() if found else {}


async def measured(folder: RunFolder, count: int) -> dict[str, object]:
    config, found = folder.config(), learned(folder)
    engine = engine_of("transformers", folder.trained_model, config.model, os.environ)
    async with open_runner(engine, RuleJudge(), config, forecast=found.forecast) as runner:
        for sample in samples_of(TRAINED_FAMILIES, True, 2):  # the first ones are slow
            await runner.episode(sample, WAYS["loop"])
        table = await asked(runner, TRAINED_FAMILIES, count)
        apart = await asked(runner, HELD_OUT_FAMILIES, max(4, count // 4))
    costs = costs_of(table)
    return {
        "processor": processor(),
        "num_questions_a_side": count,
        "forecast": {
            "num_samples": found.num_samples,
            "unseen_questions": found.unseen_questions and found.unseen_questions.to_dict(),
            "left_out_families": found.unseen_families and found.unseen_families.to_dict(),
            "held_out_families": held_out(found.forecast),
        },
        "threshold_by_tokens": table["loop_shortcut"][True][0][1].to_dict()["first_look"],
        "further_by_first": costs.further / costs.first,
        "full_by_first": costs.full / costs.first,
        "threshold_by_seconds": costs.threshold,
        "mixes": {str(ratio): mixed(table, ratio) for ratio in MIXES},
        "held_out_mixes": {str(ratio): mixed(apart, ratio) for ratio in MIXES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--count", type=int, default=80, help="questions that need the full view, and as many others")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    set_up_torch(2)
    result = asyncio.run(measured(RunFolder(options.run), options.count))
    for ratio, ways in result["mixes"].items():
        for way, figures in ways.items():
            print(ratio, way, {name: round(value, 3) for name, value in figures.items()})
    if options.out is not None:
        atomic_write_json(options.out, result)


if __name__ == "__main__":
    main()
