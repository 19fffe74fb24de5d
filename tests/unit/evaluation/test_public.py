"""Public benchmarks end to end: rows in the columns of the published sets, through the stage, to official figures."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.engines import Request, ScriptedEngine
from visionthink.errors import DataError, UserError
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.evaluation.stage import evaluate_with
from visionthink.runs import StageResult
from visionthink.samples import check_sources

ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "chartqa": [
        {"type": "human_test", "question": "How high is the tallest bar?", "answer": "47"},
        {"type": "augmented_test", "question": "Which colour has the smallest bar?", "answer": "Blue"},
    ],
    "docvqa": [
        {"questionId": "9951", "question": "What is the date?", "answers": ["1/8/93", "8 January 1993"], "docId": 5},
        {"questionId": "9952", "question": "Who signed it?", "answers": ["Philip J. Smith"], "docId": 5},
    ],
    "mme": [
        {
            "question_id": "0006.png",
            "question": "Are there two? Please answer yes or no.",
            "answer": "Yes",
            "category": "count",
        },
        {
            "question_id": "0006.png",
            "question": "Are there nine? Please answer yes or no.",
            "answer": "No",
            "category": "count",
        },
    ],
    "ocrbench": [
        {
            "dataset": "IIIT5K",
            "question": "what is written?",
            "answer": ["CENTRE"],
            "question_type": "Regular Text Recognition",
        },
        {
            "dataset": "HME100k",
            "question": "the formula?",
            "answer": ["x ^ 2"],
            "question_type": "Handwritten Mathematical Expression Recognition",
        },
    ],
    "pope": [
        {
            "id": "0",
            "question_id": "1",
            "question": "Is there a snowboard?",
            "answer": "yes",
            "image_source": "COCO",
            "category": "random",
        },
        {
            "id": "1",
            "question_id": "2",
            "question": "Is there a dog?",
            "answer": "no",
            "image_source": "COCO",
            "category": "adversarial",
        },
    ],
    "realworldqa": [
        {
            "question": "Which way? A. left B. right Please answer directly with only the letter.",
            "answer": "B",
            "image_path": "0.webp",
        },
        {"question": "How many cars?", "answer": "3", "image_path": "1.webp"},
    ],
}
RIGHT = {
    "chartqa": ["46", "blue"],
    "docvqa": ["1/8/93", "Philip J Smith"],
    "mme": ["yes", "No."],
    "ocrbench": ["it says centre", "x^2 = y"],
    "pope": ["Yes", "no"],
    "realworldqa": ["(B) right", "3."],
}
HEADLINE: Mapping[str, tuple[str, float]] = {
    "chartqa": ("human_test", 1.0),
    "mme": ("perception", 200.0),
    "ocrbench": ("points", 2.0),
    "pope": ("f1", 1.0),
}


def picture(number: int) -> bytes:
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).rectangle((20, 20, 60 + number, 100), fill=(40 * number % 256, 80, 120))
    written = io.BytesIO()
    image.save(written, "JPEG")
    return written.getvalue()


def written(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    """A parquet file as the hub keeps it: pictures as bytes and path."""
    table = [{**row, "image": {"bytes": picture(number), "path": f"{number}.jpg"}} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(table), path)
    return str(path)


def maker_of(name: str, place: str, tmp_path: Path) -> TaskMaker:
    settings = {
        "evaluate.benchmark": name,
        "data.eval_source": place,
        "view.max_pixels": 160 * 120,
        "view.min_pixels": 1,
    }
    return task_maker(tmp_path / "run-1", settings)


def evaluated(maker: TaskMaker, replies: Mapping[str, str]) -> StageResult:
    def reply(request: Request) -> str:
        said = next(text for words, text in replies.items() if words in request.messages[-1].text)
        return f"<think>seen</think><answer>{said}</answer>"

    base, trained = Path("base"), Path("trained")
    return evaluate_with(lambda _: ScriptedEngine(reply), base=base, candidate=trained, task=maker.task("evaluate"))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_benchmark_runs_on_rows_of_its_published_columns(name: str, tmp_path: Path) -> None:
    maker = maker_of(name, written(ROWS[name], tmp_path / f"{name}.parquet"), tmp_path)
    # A prompt may leave words of the set out; what it begins with stays.
    questions = [row["question"][:14] for row in ROWS[name]]
    result = evaluated(maker, dict(zip(questions, RIGHT[name], strict=True)))
    expected = {"docvqa": (1 + 1 - 1 / 15) / 2}.get(name, 1.0)
    assert result.metrics["eval/accuracy/trained"] == pytest.approx(expected)
    assert result.metrics["eval/num_samples/trained"] == 2
    assert result.facts["benchmark"] == name
    if name in HEADLINE:
        figure, value = HEADLINE[name]
        assert result.metrics[f"eval/official/trained/{figure}"] == pytest.approx(value)


def test_benchmark_asks_in_its_own_words(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: Request) -> str:
        asked.append(request.messages[-1].text)
        return "<answer>yes</answer>"

    maker = maker_of("mme", written(ROWS["mme"], tmp_path / "mme.parquet"), tmp_path)
    base, trained = Path("base"), Path("trained")
    evaluate_with(lambda _: ScriptedEngine(reply), base=base, candidate=trained, task=maker.task("evaluate"))
    assert any("Are there two?\nAnswer the question using a single word or phrase." in text for text in asked)
    assert not any("Please answer yes or no" in text for text in asked)


def test_benchmark_reads_a_saved_data_set_as_well(tmp_path: Path) -> None:
    rows = [{**row, "image": Image.open(io.BytesIO(picture(0)))} for row in ROWS["chartqa"]]
    data = datasets.Dataset.from_list(rows)
    data.save_to_disk(str(tmp_path / "chartqa"))
    maker = maker_of("chartqa", str(tmp_path / "chartqa"), tmp_path)
    result = evaluated(maker, {"tallest": "47", "smallest": "red"})
    assert result.metrics["eval/accuracy/trained"] == 0.5


def test_missing_column_is_named_before_any_work(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "answer"} for row in ROWS["pope"]]
    maker = maker_of("pope", written(rows, tmp_path / "pope.parquet"), tmp_path)
    with pytest.raises(DataError, match="column 'answer' is missing"):
        check_sources(maker.config)


def test_wrongly_typed_column_is_named_as_its_table_calls_it(tmp_path: Path) -> None:
    rows = [{**row, "question": {"text": row["question"]}} for row in ROWS["chartqa"]]
    maker = maker_of("chartqa", written(rows, tmp_path / "chartqa.parquet"), tmp_path)
    with pytest.raises(DataError, match="column 'question' must hold a text"):
        check_sources(maker.config)


def test_benchmark_without_rows_says_where_to_name_them(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run-1", {"evaluate.benchmark": "chartqa"})
    with pytest.raises(UserError, match=r"data\.eval_source"):
        check_sources(maker.config)
