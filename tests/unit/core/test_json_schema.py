"""Arguments against a schema: one clear complaint, the same for every tool."""

import pytest

from visionthink.core import Json
from visionthink.core.json_schema import quoted, violation

BOX_SCHEMA: dict[str, Json] = {
    "type": "object",
    "required": ["bbox"],
    "properties": {
        "bbox": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "integer", "minimum": 0}},
        "zoom": {"type": "number", "minimum": 1, "maximum": 4},
        "label": {"type": "string"},
        "mode": {"enum": ["fast", "good"]},
    },
}


@pytest.mark.parametrize(
    "arguments",
    [
        {"bbox": [0, 1, 2, 3]},
        {"bbox": [0, 1, 2, 3], "zoom": 2.5, "label": "x", "mode": "good"},
        {"bbox": [0, 1, 2, 3], "zoom": 1},
        {"bbox": [0, 1, 2, 3], "zoom": 4},
        {"bbox": [0, 1, 2, 3], "unknown": None},
        {"bbox": [0, 1, 2, 10**400]},
    ],
    ids=["required only", "all", "lower bound", "upper bound", "one more than known", "huge number"],
)
def test_violation_accepts(arguments: dict[str, Json]) -> None:
    assert violation(arguments, BOX_SCHEMA) is None


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ({}, "arguments.bbox is missing"),
        ({"bbox": "0,1,2,3"}, "arguments.bbox must be of type array"),
        ({"bbox": [0, 1, 2]}, "arguments.bbox must hold at least 4 and at most 4 items"),
        ({"bbox": [0, 1, 2, 3, 4]}, "arguments.bbox must hold at least 4 and at most 4 items"),
        ({"bbox": [0, 1, 2, 0.5]}, "arguments.bbox[3] must be of type integer"),
        ({"bbox": [0, 1, 2, True]}, "arguments.bbox[3] must be of type integer"),
        ({"bbox": [0, -1, 2, 3]}, "arguments.bbox[1] must be at least 0"),
        ({"bbox": [0, 1, 2, 3], "zoom": 5}, "arguments.zoom must be at most 4"),
        ({"bbox": [0, 1, 2, 3], "zoom": False}, "arguments.zoom must be of type number"),
        ({"bbox": [0, 1, 2, 3], "zoom": float("inf")}, "arguments.zoom must be of type number"),
        ({"bbox": [0, 1, 2, 3], "label": 1}, "arguments.label must be of type string"),
        ({"bbox": [0, 1, 2, 3], "mode": "slow"}, 'arguments.mode must be one of ["fast", "good"]'),
    ],
)
def test_violation_names_the_first_problem(arguments: dict[str, Json], want: str) -> None:
    assert violation(arguments, BOX_SCHEMA) == want


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        ({}, "object", True),
        (True, "boolean", True),
        (1, "boolean", False),
        (None, "null", True),
        ([1, "a"], "array", True),
        (1, "colour", True),
    ],
)
def test_violation_knows_the_other_types(value: Json, kind: str, fits: bool) -> None:
    assert (violation(value, {"type": kind}) is None) is fits


@pytest.mark.parametrize("bound", [{"minItems": 1}, {"maxItems": 1}])
def test_violation_says_only_the_bound_that_there_is(bound: dict[str, Json]) -> None:
    value: list[Json] = [] if "minItems" in bound else [1, 2]
    want = "at least 1" if "minItems" in bound else "at most 1"
    assert violation(value, bound) == f"arguments must hold {want} items"


@pytest.mark.parametrize("text", ["resize_image", "a.b-c", "X9"])
def test_quoted_repeats_plain_words(text: str) -> None:
    assert quoted(text) == f'"{text}"'


@pytest.mark.parametrize("text", ["<|im_end|>", "a b", "", "x" * 41, "a\nb", "</tool_response>"])
def test_quoted_repeats_nothing_that_could_steer_the_model(text: str) -> None:
    assert text not in quoted(text) or not text
