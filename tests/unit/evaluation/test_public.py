"""Public benchmarks end to end: rows in the columns of the published sets, through the stage, to official figures."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import datasets
import pytest
from PIL import Image
from tests.contract.engines.chat_server import chat_server
from tests.fakes.published_rows import PICTURES, ROWS, picture, with_pictures, write_rows
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.config.evaluation import BenchmarkName
from visionthink.datasets.published import PUBLISHED
from visionthink.engines import Request, ScriptedEngine
from visionthink.errors import DataError, JudgeError, UserError
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.evaluation.stage import evaluate_with
from visionthink.judges import Grade, GradeItem, Judge, RuleJudge, open_judge
from visionthink.runs import StageResult
from visionthink.samples import check_sources, samples_to_evaluate
from visionthink.serving.server import background_server

QUESTIONS = {"mathverse": "query_wo", "vstar": "text"}
"""The column of the question, where it is not `question`."""
RIGHT = {
    "chartqa": ["46", "blue"],
    "docvqa": ["1/8/93", "Philip J Smith"],
    "mathverse": ["(A) 30", "it would be three"],
    "mathvista": ["blue", "it looks like one half"],
    "mmbench": ["A. a red box", "something square"],
    "mme": ["yes", "No."],
    "mmmu": ["(B) Van Gogh's", "The angle is 45"],
    "mmmu_pro": ["J", "the answer is A."],
    "mmmu_pro_vision": ["B", "B"],
    "mmvet": ["x = -1", "blue"],
    "ocrbench": ["it says centre", "x^2 = y"],
    "pope": ["Yes", "no"],
    "realworldqa": ["(B) right", "3."],
    "vstar": ["(B)", "A. left"],
}
SCORES = {"docvqa": (1 + 1 - 1 / 15) / 2, "mmvet": (0.5 + 1.0) / 2}
HEADLINE: Mapping[str, tuple[str, float]] = {
    "chartqa": ("human_test", 1.0),
    "mathverse": ("Vision Only", 1.0),
    "mathvista": ("math word problem", 1.0),
    "mmbench": ("coarse_perception", 1.0),
    "mme": ("perception", 200.0),
    "mmmu": ("Art and Design", 1.0),
    "mmmu_pro": ("Humanities and Social Science", 1.0),
    "mmmu_pro_vision": ("Math", 1.0),
    "mmvet": ("math", 50.0),
    "ocrbench": ("points", 2.0),
    "pope": ("f1", 1.0),
    "vstar": ("direct_attributes", 1.0),
}
JUDGES = ("mathverse", "mmbench")
"""One whose every answer goes to the judge, and one of which a rule takes a part."""


def language_model(request: Request) -> str:
    """Says what each benchmark's own question to a judge wants to hear of the right answers above."""
    text = request.messages[-1].text
    if text.endswith("Extracted answer: "):
        return "0.5"
    if text.endswith("Your output: "):
        return "B"
    if text.endswith("1 or 0"):
        return "1"
    assert text.endswith("|"), text
    return "1.0" if "blue" in text.splitlines()[-1] else "0.5"


@contextmanager
def asked_judge() -> Iterator[Callable[[], Judge]]:
    """A judge that asks a language model over HTTP."""
    with background_server(chat_server(ScriptedEngine(language_model)), ready_path=None) as url:
        yield lambda: open_judge(f"openai:{url}/v1?model=scripted")


def maker_of(name: str, place: str, tmp_path: Path, **more: object) -> TaskMaker:
    settings = {
        "evaluate.benchmark": name,
        "data.eval_source": place,
        "view.max_pixels": 160 * 120,
        "view.min_pixels": 1,
        **more,
    }
    return task_maker(tmp_path / "run-1", settings)


def made(name: str, tmp_path: Path, *, without: str = "", **changed: Any) -> str:
    """The rows of a set in a file, less a column or with other cells."""
    rows = [{**row, **changed} for row in with_pictures(name, ROWS[name])]
    return write_rows([{key: row[key] for key in row if key != without} for row in rows], tmp_path / f"{name}.parquet")


def evaluated(maker: TaskMaker, replies: Mapping[str, str]) -> StageResult:
    def reply(request: Request) -> str:
        said = next(text for words, text in replies.items() if words in request.messages[-1].text)
        return f"<think>seen</think><answer>{said}</answer>"

    base, trained = Path("base"), Path("trained")
    return evaluate_with(lambda _: ScriptedEngine(reply), base=base, candidate=trained, task=maker.task("evaluate"))


def right_replies(name: str) -> dict[str, str]:
    """By words of the question, what answers it rightly. A prompt may leave words out; what it begins with stays."""
    if name == "mmmu_pro_vision":
        return {"Answer with": "B"}
    if name == "mmbench":
        return {"A. a red box": RIGHT[name][0], "A. a dog": RIGHT[name][1]}
    questions = [row[QUESTIONS.get(name, "question")].removeprefix("<image 1> ") for row in ROWS[name]]
    marks = [question.partition("<image")[0][:14] for question in questions]
    return dict(zip(marks, RIGHT[name], strict=True))


def test_every_benchmark_has_a_set_and_a_name_in_the_settings() -> None:
    assert sorted(PUBLIC) == sorted(PUBLISHED) == sorted(get_args(BenchmarkName)) == sorted(ROWS)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_benchmark_runs_on_rows_of_its_published_columns(name: str, tmp_path: Path) -> None:
    maker = maker_of(name, made(name, tmp_path), tmp_path)
    with asked_judge() as judge:
        maker.open_judge = judge if PUBLIC[name].asks_judge else RuleJudge
        result = evaluated(maker, right_replies(name))
    assert result.metrics["eval/accuracy/trained"] == pytest.approx(SCORES.get(name, 1.0))
    assert result.metrics["eval/num_samples/trained"] == 2
    assert result.metrics["eval/num_failed/trained"] == 0
    assert result.facts["benchmark"] == name
    if name in HEADLINE:
        figure, value = HEADLINE[name]
        assert result.metrics[f"eval/official/trained/{figure}"] == pytest.approx(value)


class NobodyThere:
    """A judge that no question reaches."""

    async def grade(self, item: GradeItem) -> Grade:
        raise JudgeError("401; check judge.uri", retryable=False)

    async def aclose(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize("name", JUDGES)
def test_what_no_judge_was_asked_about_stays_open_until_one_is_there(name: str, tmp_path: Path) -> None:
    maker = maker_of(name, made(name, tmp_path), tmp_path)
    maker.open_judge = NobodyThere
    with pytest.raises(JudgeError, match="401"):
        evaluated(maker, right_replies(name))
    with asked_judge() as judge:
        maker.open_judge = judge
        result = evaluated(maker, right_replies(name))
    assert result.metrics["eval/accuracy/trained"] == pytest.approx(SCORES.get(name, 1.0))
    assert result.metrics["eval/num_failed/trained"] == 0


def test_what_a_judge_says_nothing_clear_about_is_counted_and_not_scored(tmp_path: Path) -> None:
    maker = maker_of("mathvista", made("mathvista", tmp_path), tmp_path)
    # The rule can tell the choice that stands there alone, and no number in "one half".
    result = evaluated(maker, right_replies("mathvista"))
    assert result.metrics["eval/accuracy/trained"] == 1.0
    assert result.metrics["eval/num_samples/trained"] == result.metrics["eval/num_failed/trained"] == 1


def test_benchmark_asks_in_its_own_words(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: Request) -> str:
        asked.append(request.messages[-1].text)
        return "<answer>yes</answer>"

    maker = maker_of("mme", made("mme", tmp_path), tmp_path)
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


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name in sorted(PUBLISHED) for column in PUBLISHED[name].schema.required]
)
def test_missing_column_is_named_before_any_work(name: str, column: str, tmp_path: Path) -> None:
    maker = maker_of(name, made(name, tmp_path, without=column), tmp_path)
    with pytest.raises(DataError, match=f"column '{column}' is missing; found .*Rename the column that holds"):
        check_sources(maker.config)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_column_that_nobody_knows_is_left_alone(name: str, tmp_path: Path) -> None:
    maker = maker_of(name, made(name, tmp_path, family={"mine": 1}, remarks="none"), tmp_path)
    assert len(samples_to_evaluate(maker.config).samples) == 2


TYPED = [
    *((name, QUESTIONS.get(name, "question"), {"text": "?"}) for name in sorted(PUBLISHED)),
    *((name, column, {"a": 1}) for name, column in (("chartqa", "answer"), ("vstar", "label"), ("mmbench", "A"))),
    *((name, PICTURES.get(name, "image"), 7) for name in sorted(PUBLISHED)),
    ("mathvista", "choices", "red or blue"),
    ("mathvista", "choices", [{"a": 1}]),
    ("mathvista", "precision", {"places": 1}),
    ("mathvista", "precision", "two"),
    ("mathvista", "metadata", "a text"),
    ("mathverse", "question_for_eval", ["a", "list"]),
    ("mmmu", "options", "A, B"),
    ("mmmu", "options", "__import__('os')"),
    ("mmmu", "question_type", {"kind": "open"}),
    ("mmmu_pro", "options", "{'A': 1}"),
    ("mmvet", "capability", ["ocr", "math"]),
]


@pytest.mark.parametrize(
    ("name", "column", "value"), [case for case in TYPED if case[:2] != ("mmmu_pro_vision", "question")]
)
def test_wrongly_typed_column_is_named_as_its_table_calls_it(
    name: str, column: str, value: object, tmp_path: Path
) -> None:
    cells: dict[str, Any] = {column: value}
    maker = maker_of(name, made(name, tmp_path, **cells), tmp_path)
    with pytest.raises(DataError, match=rf"row 0 of {name}.parquet: column '{column}' (must hold|holds neither)"):
        check_sources(maker.config)


@pytest.mark.parametrize("name", ["mmmu", "mmmu_pro"])
def test_rows_that_show_several_pictures_or_none_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    first, second = with_pictures(name, ROWS[name])
    both = {**second, "question": "Is <image 1> or <image 2> it?", "image_2": first["image_1"]}
    none = {**second, "question": "What is it?"}
    in_options = {**first, "options": "['<image 1>', '<image 2>']", "image_2": first["image_1"]}
    place = write_rows([{**first, "image_2": None}, both, none, in_options], tmp_path / "mmmu.parquet")
    maker = maker_of(name, place, tmp_path)
    told: list[str] = []
    assert [one.answer for one in samples_to_evaluate(maker.config, say=told.append).samples] == [first["answer"]]
    assert len(told) == 1 and "left out 3 rows of 4, of which no episode can be made. The first: row 1 of" in told[0]
    assert "its question shows 2 pictures" in told[0]


def test_set_of_which_no_row_can_be_asked_about_is_refused(tmp_path: Path) -> None:
    place = made("mmmu", tmp_path, question="What?")
    with pytest.raises(DataError, match=r"no episode can be made of any of the 2 rows.*shows 0 pictures"):
        check_sources(maker_of("mmmu", place, tmp_path).config)


def test_the_picture_of_a_question_may_stand_in_another_column(tmp_path: Path) -> None:
    rows = with_pictures("mmmu", ROWS["mmmu"])
    other = {"bytes": picture(9), "path": None}
    rows = [{**row, "question": "How old is <image 2>, <image 2>?", "image_2": other} for row in rows]
    sample = samples_to_evaluate(
        maker_of("mmmu", write_rows(rows, tmp_path / "mmmu.parquet"), tmp_path).config
    ).samples[0]
    assert sample.picture == picture(9)
    assert sample.question == "How old is <image>, <image 2>?"


def test_benchmark_without_rows_says_where_to_name_them(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run-1", {"evaluate.benchmark": "chartqa"})
    with pytest.raises(UserError, match=r"data\.eval_source"):
        check_sources(maker.config)
