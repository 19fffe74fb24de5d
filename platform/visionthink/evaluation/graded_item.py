"""The answers of a finished evaluation as a judge is shown them, for judging them by another one."""

from collections.abc import Sequence
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.errors import DataError
from visionthink.evaluation.answer import Answer
from visionthink.evaluation.benchmarks import benchmark_of
from visionthink.judges import GradeItem
from visionthink.runs import RunFolder
from visionthink.samples import Say
from visionthink.storage.json_file import read_json


def graded_items(folder: RunFolder, config: RunConfig, say: Say) -> list[GradeItem]:
    """Every different answer that a contender gave, with its question.

    Raises:
        DataError: the run has not been evaluated, or its samples are not there any more.
    """
    folder.finished("evaluate")
    benchmark = benchmark_of(config)
    tests = benchmark.source(config, say)
    samples = {sample.id: sample for sample in (*tests.samples, *tests.held_out)}
    answers = [answer for path in _shards(folder) for answer in _answers(path)]
    missing = {answer.id for answer in answers} - samples.keys()
    if missing:
        raise DataError(f"the data set has no sample {min(missing)!r} any more, of which {folder.path} holds an answer")
    items = (
        _item(samples[answer.id], benchmark.read(answer.got))
        for answer in answers
        if answer.got is not None and answer.got.strip()
    )
    return list(dict.fromkeys(items))


def _shards(folder: RunFolder) -> Sequence[Path]:
    return sorted((folder.stage_dir("evaluate") / "answers").glob("*/*.json"))


def _answers(path: Path) -> list[Answer]:
    value = read_json(path)
    return [Answer.from_dict(entry) for entry in value] if isinstance(value, list) else []


def _item(sample: Sample, prediction: str) -> GradeItem:
    return GradeItem(
        question=sample.question,
        answer=sample.answer,
        other_answers=sample.other_answers,
        prediction=prediction,
        family=sample.family,
    )
