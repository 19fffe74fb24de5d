"""The report of an evaluation: examples, curves of the training, the page and its figures.

Rule: nothing is measured or computed here that is not in the evaluation already; what is shown is what is recorded.
"""

from collections.abc import Sequence
from typing import Final

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.episodes.runner import EpisodeRunner
from visionthink.evaluation.asking import ask_of
from visionthink.evaluation.benchmarks import Benchmark
from visionthink.evaluation.example import choose_examples, num_views, to_example
from visionthink.evaluation.incumbent import Incumbent
from visionthink.evaluation.outcome import Evaluation, Measured
from visionthink.report import BenchmarkFigures, Curve, Example, ReportInput, render_figures, render_report
from visionthink.report.shown_view import MAX_BYTES
from visionthink.runs import STAGES, RunFolder, StageTask
from visionthink.runs.step_log import read_steps
from visionthink.runs.stopwatch import read_seconds
from visionthink.samples import WORLD, decoded
from visionthink.tracking import flatten, keep_bytes, keep_text

_MAX_PAGE_BYTES: Final = 4 * 1024**2
"""Of all views on the page together: with its figures it can still be sent by mail."""


async def examples_of(
    runner: EpisodeRunner,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    measured: Measured,
    *,
    config: RunConfig,
) -> tuple[Example, ...]:
    """A few conversations of a contender, held again: greedy replies repeat."""
    chosen = choose_examples(measured.answers, config.evaluate.num_examples)
    asks = {index: ask_of(measured.contender, benchmark, samples[index]) for index in chosen}
    finishes = {index: await runner.episode(samples[index], ask) for index, ask in asks.items()}
    most = max_view_bytes(sum(map(num_views, finishes.values())))
    return tuple(
        to_example(
            benchmark.prompt(samples[index]),
            decoded(samples[index], config.data),
            finish,
            measured.answers[index],
            max_view_bytes=most,
        )
        for index, finish in finishes.items()
    )


def max_view_bytes(num_shown: int) -> int:
    """What one of `num_shown` views may weigh."""
    return min(MAX_BYTES, _MAX_PAGE_BYTES // max(1, num_shown))


def show(evaluation: Evaluation, examples: Sequence[Example], incumbent: Incumbent, task: StageTask) -> None:
    """Write the page and its figures, and hand them to the tracker."""
    report = report_input(evaluation, examples, incumbent, task)
    keep_text(task.run, task.folder.report_path, render_report(report))
    for name, png in render_figures(report).items():
        keep_bytes(task.run, task.dir / "figures" / name, png, folder="figures")


def report_input(
    evaluation: Evaluation, examples: Sequence[Example], incumbent: Incumbent, task: StageTask
) -> ReportInput:
    """Everything that the page shows."""
    config = task.config
    num_questions = max((len(one.answers) for one in evaluation.measured), default=0)
    place = f"picture world {config.data.world_seed}" if config.data.source == WORLD else config.data.source
    return ReportInput(
        title=f"{place[:1].upper()}{place[1:]}, seed {config.seed}",
        subtitle=f"run {task.folder.run_id} · {num_questions:,} held-out questions · base model {config.model.base}",
        contenders=evaluation.contenders,
        benchmarks=(
            BenchmarkFigures(
                name=str(evaluation.facts["benchmark"]),
                contenders=evaluation.contenders,
                official=evaluation.official,
                origin=f"run {task.folder.run_id}",
            ),
        ),
        families=evaluation.families,
        curves=curves_of(task.folder),
        confusion=evaluation.confusion,
        examples=tuple(examples),
        notes=notes_of(incumbent),
        config=flatten(config.model_dump(mode="json")),
        seconds=seconds_of(task.folder),
    )


def notes_of(incumbent: Incumbent) -> tuple[str, ...]:
    """Why the model in use does not stand beside the candidate, where there is one."""
    match incumbent.state:
        case "same":
            return (f"The model in use (version {incumbent.version}) is the one that is judged here.",)
        case "unmeasured":
            return (f"The model in use is not measured: {incumbent.reason}",)
        case "none" | "measured":
            return ()


def curves_of(folder: RunFolder) -> tuple[Curve, ...]:
    """What the training steps logged; nothing where no model was trained."""
    points: dict[str, list[tuple[int, float]]] = {}
    for record in read_steps(folder.steps_path):
        for key, value in record.metrics.items():
            points.setdefault(key, []).append((record.step, value))
    return tuple(Curve(key=key, points=tuple(found)) for key, found in points.items())


def seconds_of(folder: RunFolder) -> dict[str, float]:
    """Wall seconds of the stages so far, and their sum."""
    found = {stage: read_seconds(folder.seconds_path(stage)) for stage in STAGES}
    seconds: dict[str, float] = {stage: wall_s for stage, wall_s in found.items() if wall_s > 0}
    return {**seconds, "total": sum(seconds.values())}
