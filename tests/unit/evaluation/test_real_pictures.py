"""Photographs that nobody here drew, in the columns of public sets: JPEGs, grey pictures, transparency, odd sizes.

They come with scikit-image and scikit-learn; nothing is downloaded.
"""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tests.fakes.published_rows import write_rows
from tests.fakes.stage_task import task_maker

from visionthink.core.geometry import Size, ViewRule, full_view, quarter_view, visual_tokens
from visionthink.datasets import open_source
from visionthink.datasets.published import PUBLISHED
from visionthink.engines import Request, ScriptedEngine
from visionthink.evaluation.stage import evaluate_with
from visionthink.picture import cut, decode, size_of

PAPER = ViewRule(max_pixels=2048 * 2048, min_pixels=512 * 512)
PHOTOS: Mapping[str, Size] = {
    "astronaut.png": Size(width=512, height=512),
    "camera.png": Size(width=512, height=512),  # grey
    "chelsea.png": Size(width=451, height=300),
    "china.jpg": Size(width=640, height=427),
    "coffee.png": Size(width=600, height=400),
    "flower.jpg": Size(width=640, height=427),
    "horse.png": Size(width=400, height=328),  # transparent
    "hubble_deep_field.jpg": Size(width=1000, height=872),
    "page.png": Size(width=384, height=191),
    "retina.jpg": Size(width=1411, height=1411),
    "rocket.jpg": Size(width=640, height=427),
}
ASKED: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "pope": [
        (photo, {"id": str(number), "question": f"Is there a {thing} in the image?", "answer": said, "category": kind})
        for number, (photo, thing, said, kind) in enumerate(
            [
                ("astronaut.png", "person", "yes", "random"),
                ("camera.png", "camera", "yes", "popular"),
                ("chelsea.png", "dog", "no", "adversarial"),
                ("china.jpg", "building", "yes", "random"),
                ("coffee.png", "cup", "yes", "popular"),
                ("flower.jpg", "car", "no", "random"),
                ("horse.png", "horse", "yes", "random"),
                ("rocket.jpg", "bicycle", "no", "random"),
            ]
        )
    ],
    "docvqa": [("page.png", {"questionId": "1", "question": "What is it about?", "answers": ["Region", "regions"]})],
    "vstar": [
        (
            photo,
            {
                "text": f"What is the colour of the {thing}? (A) orange (B) green (C) blue (D) black",
                "label": "A",
                "category": "direct_attributes",
                "question_id": str(number),
            },
        )
        for number, (photo, thing) in enumerate([("retina.jpg", "ground"), ("hubble_deep_field.jpg", "big galaxy")])
    ],
}


def photo(name: str) -> bytes:
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        path = Path(spec.origin).parent / folder / name
        if path.exists():
            return path.read_bytes()
    raise AssertionError(f"{name} does not ship any more")


def place_of(name: str, folder: Path) -> str:
    rows = [{**row, "image": {"bytes": photo(found), "path": found}} for found, row in ASKED[name]]
    return write_rows(rows, folder / f"{name}.parquet")


def test_every_photograph_is_asked_about() -> None:
    assert {found for rows in ASKED.values() for found, _ in rows} == set(PHOTOS)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_photographs_are_read_and_cut_as_geometry_says(name: str, tmp_path: Path) -> None:
    source = open_source(place_of(name, tmp_path), schema=PUBLISHED[name].schema)  # decodes each
    for sample, (found, _) in zip(source, ASKED[name], strict=True):
        size = PHOTOS[found]
        picture = decode(sample.picture)
        assert (size_of(sample.picture), picture.size, picture.mode) == (size, (size.width, size.height), "RGB")
        full, quarter = full_view(size, PAPER), quarter_view(size, PAPER)
        for view in (full, quarter):
            shown = cut(picture, view)
            assert shown.size == (view.size.width, view.size.height)
            # Of a photograph something is to be seen in any size.
            assert np.asarray(shown).std() > 5
        assert 3 < visual_tokens(full.size) / visual_tokens(quarter.size) < 6


def test_transparent_photograph_lies_on_white() -> None:
    with Image.open(io.BytesIO(photo("horse.png"))) as stored:
        assert stored.mode == "RGBA"
    assert decode(photo("horse.png")).getpixel((0, 0)) == (255, 255, 255)


def test_handwritten_digits_of_eight_pixels_are_read(tmp_path: Path) -> None:
    digits = load_digits()
    rows = []
    for pixels, digit in list(zip(digits.images, digits.target, strict=True))[:3]:
        written = io.BytesIO()
        Image.fromarray((255 - pixels * 15).astype(np.uint8)).save(written, "PNG")
        rows.append(
            {
                "dataset": "digits",
                "question": "what number is it?",
                "answer": [str(digit)],
                "question_type": "Digit String Recognition",
                "image": {"bytes": written.getvalue(), "path": None},
            }
        )
    source = open_source(write_rows(rows, tmp_path / "ocrbench.parquet"), schema=PUBLISHED["ocrbench"].schema)
    found = [(sample.answer, quarter_view(size_of(sample.picture), PAPER).size) for sample in source]
    assert found == [(str(number), Size(width=252, height=252)) for number in range(3)]


def test_photographs_go_through_an_evaluation(tmp_path: Path) -> None:
    seen: set[Size] = set()

    def reply(request: Request) -> str:
        seen.update(view.size for message in request.messages for view in message.views)
        asked = request.messages[-1].text
        said = next(row["answer"] for _, row in ASKED["pope"] if row["question"] in asked)
        return f"<answer>{said}</answer>"

    settings = {
        "evaluate.benchmark": "pope",
        "evaluate.num_samples": 8,
        "data.eval_source": place_of("pope", tmp_path),
        "view.max_pixels": PAPER.max_pixels,
        "view.min_pixels": PAPER.min_pixels,
    }
    maker = task_maker(tmp_path / "run-1", settings)
    base, trained = Path("base"), Path("trained")
    result = evaluate_with(lambda _: ScriptedEngine(reply), base=base, candidate=trained, task=maker.task("evaluate"))
    assert result.metrics["eval/official/trained/f1"] == 1.0
    sizes = [PHOTOS[found] for found, _ in ASKED["pope"]]
    assert seen == {view(size, PAPER).size for size in sizes for view in (full_view, quarter_view)}
    tokens = [visual_tokens(quarter_view(size, PAPER).size) for size in sizes]
    assert result.metrics["eval/visual_tokens_mean/trained"] == pytest.approx(sum(tokens) / len(tokens))
