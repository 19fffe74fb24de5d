"""What an evaluation costs beside the model: linear in answers and families, and in bounded memory."""

import time
import tracemalloc
from dataclasses import replace

import pytest
from tests.unit.evaluation.answers import CONTENDERS, answer

from visionthink import metrics
from visionthink.evaluation.benchmarks.samples import PICTURE_WORLD
from visionthink.evaluation.incumbent import Incumbent
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Measured, evaluation_of
from visionthink.report import ReportInput, render_figures

NUM_ANSWERS, NUM_FAMILIES = 100_000, 5_000
MAX_S = 60.0
"""Some five times what it takes on a quiet core."""
MAX_BYTES = 200 * 1024**2
"""Beside the answers themselves."""


@pytest.mark.slow
def test_100_000_answers_of_5_000_families_take_seconds_and_little_memory() -> None:
    answers = [
        replace(
            answer(str(n), correct=n % 7 > 0, needed=n % 3 == 0, asked=n % 5 == 0, family=f"family {n % NUM_FAMILIES}"),
            visual_tokens=4 + n % 1000,
        )
        for n in range(NUM_ANSWERS)
    ]
    latency = Latency(by_family={"family 0": (0.1,)}, headline=("family 0",))
    measured = [Measured(contender=one, answers=answers, held_out=(), latency=latency) for one in CONTENDERS]
    start_s = time.process_time()
    tracemalloc.start()
    evaluation = evaluation_of(
        measured,
        benchmark=PICTURE_WORLD,
        bootstrap=Bootstrap(num_bootstraps=1000, seed=0),
        incumbent=Incumbent(state="none"),
    )
    result = evaluation.to_result()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    metrics.check(result.metrics)
    report = ReportInput(title="x", contenders=evaluation.contenders, families=evaluation.families)
    assert set(render_figures(report)) == {"pareto.png", "families.png"}
    assert len([key for key in result.metrics if key.startswith("eval/family_accuracy/trained/")]) == NUM_FAMILIES
    assert "eval/family_latency_s/trained/family 1" not in result.metrics, "it was not timed"
    assert peak < MAX_BYTES
    assert time.process_time() - start_s < MAX_S
