"""A few rows of each public set, made here in the columns in which the set is published."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

Rows = Sequence[Mapping[str, Any]]

PICTURES: Mapping[str, str] = {"mathvista": "decoded_image", "mmmu": "image_1", "mmmu_pro": "image_1"}
"""The column of the picture, where it is not `image`."""
_MMMU = {"explanation": "", "img_type": "['Plots']", "topic_difficulty": "Easy", "image_2": None}
_MMBENCH = {"hint": "nan", "C": "nan", "D": "nan", "category": "image_scene", "source": "made", "split": "dev"}
_MATHVISTA = {"image": "images/1.jpg", "unit": "", "query": "Hint: answer.\nQuestion: which?"}
_SKILLS = {"task": "figure question answering", "skills": ["statistical reasoning"], "language": "english"}

ROWS: Mapping[str, Rows] = {
    "chartqa": [
        {"type": "human_test", "question": "How high is the tallest bar?", "answer": "47"},
        {"type": "augmented_test", "question": "Which colour has the smallest bar?", "answer": "Blue"},
    ],
    "docvqa": [
        {"questionId": "9951", "question": "What is the date?", "answers": ["1/8/93", "8 January 1993"], "docId": 5},
        {"questionId": "9952", "question": "Who signed it?", "answers": ["Philip J. Smith"], "docId": 5},
    ],
    "mathverse": [
        {
            "sample_index": "1",
            "problem_index": "1",
            "problem_version": "Text Dominant",
            "question": "Find x.",
            "answer": "A",
            "question_type": "multi-choice",
            "metadata": {"split": "testmini", "subfield": "Length"},
            "query_wo": "Please directly answer: find x.",
            "query_cot": "Please reason: find x.",
            "question_for_eval": "Find x.\nChoices:\nA:30\nB:40",
        },
        {
            "sample_index": "2",
            "problem_index": "1",
            "problem_version": "Vision Only",
            "question": "",
            "answer": "3",
            "question_type": "free-form",
            "metadata": {"split": "testmini", "subfield": "Area"},
            "query_wo": "According to the question shown: answer.",
            "query_cot": "Please reason.",
            "question_for_eval": "How wide is it?",
        },
    ],
    "mathvista": [
        {
            **_MATHVISTA,
            "pid": "1",
            "question": "Which colour is tallest?",
            "choices": ["red", "blue"],
            "precision": None,
            "answer": "blue",
            "question_type": "multi_choice",
            "answer_type": "text",
            "metadata": _SKILLS,
        },
        {
            **_MATHVISTA,
            "pid": "2",
            "question": "What share is blue?",
            "choices": None,
            "precision": 1.0,
            "answer": "0.5",
            "question_type": "free_form",
            "answer_type": "float",
            "metadata": {**_SKILLS, "task": "math word problem"},
        },
    ],
    "mmbench": [
        {
            **_MMBENCH,
            "index": 7,
            "question": "What is it in the middle?",
            "answer": "A",
            "A": "a red box",
            "B": "a dog",
            "L2-category": "coarse_perception",
        },
        {
            **_MMBENCH,
            "index": 1_000_007,
            "question": "What is it in the middle?",
            "answer": "B",
            "A": "a dog",
            "B": "a red box",
            "L2-category": "coarse_perception",
        },
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
    "mmmu": [
        {
            **_MMMU,
            "id": "validation_Art_Theory_1",
            "question": "Whose hand is in <image 1>?",
            "options": "['Monet', \"Van Gogh's\"]",
            "answer": "B",
            "question_type": "multiple-choice",
            "subfield": "Painting",
        },
        {
            **_MMMU,
            "id": "validation_Math_2",
            "question": "<image 1> How large is the angle?",
            "options": "[]",
            "answer": "45",
            "question_type": "open",
            "subfield": "Geometry",
        },
    ],
    "mmmu_pro": [
        {
            **_MMMU,
            "id": "test_Math_1",
            "question": "How many are in <image 1>?",
            "options": "['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']",
            "answer": "J",
            "subject": "Math",
        },
        {
            **_MMMU,
            "id": "test_History_2",
            "question": "When was <image 1> made?",
            "options": "['1800', '1900', '2000']",
            "answer": "A",
            "subject": "History",
        },
    ],
    "mmmu_pro_vision": [
        {"id": "test_Math_1", "options": "['1', '2']", "answer": "B", "subject": "Math"},
        {"id": "test_History_2", "options": "['1800', '1900']", "answer": "B", "subject": "History"},
    ],
    "mmvet": [
        {
            "question_id": "v1_0",
            "image_source": "made",
            "question": "What is x in the equation?",
            "answer": "-1<AND>-5",
            "capability": "ocr,math",
        },
        {
            "question_id": "v1_1",
            "image_source": "made",
            "question": "Which colour is the box?",
            "answer": "blue",
            "capability": "rec",
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
    "vstar": [
        {
            "text": "What colour is the glove? (A) red (B) blue (C) green (D) white",
            "category": "direct_attributes",
            "label": "B",
            "question_id": "1",
        },
        {
            "text": "Is the dog left of the cat? (A) left (B) right",
            "category": "relative_position",
            "label": "A",
            "question_id": "2",
        },
    ],
}


def picture(number: int) -> bytes:
    """A JPEG; each number another one."""
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).rectangle((20, 20, 60 + number, 100), fill=(40 * number % 256, 80, 120))
    written = io.BytesIO()
    image.save(written, "JPEG")
    return written.getvalue()


def with_pictures(name: str, rows: Rows) -> list[dict[str, Any]]:
    """The rows, each with a picture in the column of its set."""
    column = PICTURES.get(name, "image")
    return [{**row, column: {"bytes": picture(number), "path": f"{number}.jpg"}} for number, row in enumerate(rows)]


def write_rows(rows: Rows, path: Path) -> str:
    """A parquet file as the hub keeps it: pictures as bytes and path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)
