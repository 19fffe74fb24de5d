"""The report of an evaluation: examples, curves of the training, the page and its figures.

Rule: nothing is measured or computed here that is not in the evaluation already; what is shown is what is recorded.
"""

from collections.abc import Sequence

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.episodes.runner import Ask, EpisodeRunner
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.bootstrap import Bootstrap
from visionthink.evaluation.example import choose_examples, to_example
from visionthink.evaluation.figures import confusion
from visionthink.evaluation.outcome import Evaluation
from visionthink.report import Curve, Example, ReportInput, Row, render_figures, render_report
from visionthink.runs import STAGES, RunFolder, StageTask
from visionthink.runs.stopwatch import read_seconds
from visionthink.samples import WORLD, decoded
from visionthink.tracking import flatten, keep_bytes, keep_text
from visionthink.training.local.step_log import read_steps


async def examples_of(
    runner: EpisodeRunner, samples: Sequence[Sample], answers: Sequence[Answer], ask: Ask, config: RunConfig
) -> tuple[Example, ...]:
    """A few conversations of a row, held again: greedy replies repeat."""
    examples = []
    for index in choose_examples(answers, config.evaluate.num_examples):
        finish = await runner.episode(samples[index], ask)
        examples.append(to_example(samples[index], decoded(samples[index], config.data), finish, answers[index]))
    return tuple(examples)


def show(evaluation: Evaluation, bootstrap: Bootstrap, task: StageTask) -> None:
    """Write the page and its figures, and hand them to the tracker."""
    report = report_input(evaluation, bootstrap, task)
    keep_text(task.run, task.folder.report_path, render_report(report))
    for name, png in render_figures(report).items():
        keep_bytes(task.run, task.dir / "figures" / name, png, folder="figures")


def report_input(evaluation: Evaluation, bootstrap: Bootstrap, task: StageTask) -> ReportInput:
    """Everything that the page shows."""
    config = task.config
    answers = evaluation.answers[Row.TRAINED]
    place = f"picture world {config.data.world_seed}" if config.data.source == WORLD else config.data.source
    return ReportInput(
        title=f"{place[:1].upper()}{place[1:]}, seed {config.seed}",
        subtitle=f"run {task.folder.run_id} · {len(answers):,} held-out questions · base model {config.model.base}",
        rows=evaluation.rows(bootstrap),
        families=evaluation.families(),
        curves=curves_of(task.folder),
        confusion=confusion(answers),
        examples=evaluation.examples,
        config=flatten(config.model_dump(mode="json")),
        seconds=seconds_of(task.folder),
    )


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
