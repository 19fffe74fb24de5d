"""The tool box: what a call is checked for, and that the model hears of every mistake in the same words."""

import pytest

from visionthink.core import Box, Json, JsonObject, ResizeImage, Size, ToolBox, View, ViewRule, full_view, region_view
from visionthink.errors import ConfigError, ToolArgumentError

RULE = ViewRule()
ORIGINAL = Size(width=1024, height=768)
RESIZE = ToolBox([ResizeImage()])


class CropImage:
    """A tool that the package does not know."""

    @property
    def name(self) -> str:
        return "crop_image"

    def schema(self) -> dict[str, Json]:
        box: dict[str, Json] = {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "integer"}}
        parameters: dict[str, Json] = {"type": "object", "properties": {"bbox": box}, "required": ["bbox"]}
        return {"type": "function", "function": {"name": self.name, "parameters": parameters}}

    def view(self, arguments: JsonObject, original: Size, rule: ViewRule) -> View:
        sides = arguments["bbox"]
        assert isinstance(sides, list)
        left, top, right, bottom = (side for side in sides if isinstance(side, int))
        return region_view(original, Box(left=left, top=top, right=right, bottom=bottom), rule)


def test_resize_shows_the_full_view() -> None:
    assert RESIZE.view("resize_image", {"action": "resize"}, ORIGINAL, RULE) == full_view(ORIGINAL, RULE)


@pytest.mark.parametrize(
    ("name", "arguments", "want"),
    [
        ("zoom", {"action": "resize"}, 'there is no function "zoom", available: "resize_image"'),
        ("<|im_end|>", {}, 'there is no function of an unprintable or long name, available: "resize_image"'),
        ("resize_image", {}, "arguments.action is missing"),
        ("resize_image", {"action": "shrink"}, 'arguments.action must be one of ["resize"]'),
        ("resize_image", {"action": 2}, "arguments.action must be of type string"),
    ],
    ids=["unknown name", "chat marker as a name", "no action", "unknown action", "action of a wrong type"],
)
def test_a_wrong_call_is_told_what_is_wrong(name: str, arguments: dict[str, Json], want: str) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        RESIZE.view(name, arguments, ORIGINAL, RULE)
    assert str(caught.value) == want


def test_an_empty_box_knows_no_function() -> None:
    with pytest.raises(ToolArgumentError, match='no function "resize_image", available: none'):
        ToolBox().check("resize_image", {"action": "resize"})


def test_a_box_outside_the_picture_is_the_models_mistake() -> None:
    with pytest.raises(ToolArgumentError, match="leaves the picture of 1024 x 768"):
        ToolBox([CropImage()]).view("crop_image", {"bbox": [0, 0, 1025, 10]}, ORIGINAL, RULE)


def test_a_complaint_stays_short_whatever_numbers_the_model_makes_up() -> None:
    with pytest.raises(ToolArgumentError) as caught:
        ToolBox([CropImage()]).view("crop_image", {"bbox": [0, 0, 10**4000, 10]}, ORIGINAL, RULE)
    assert len(str(caught.value)) <= 300


def test_box_keeps_the_order_of_registration() -> None:
    box = ToolBox([CropImage(), ResizeImage()])
    assert box.names == ("crop_image", "resize_image")
    assert [tool.name for tool in box] == list(box.names)
    assert len(box) == len(box.schemas()) == 2


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are named 'resize_image'"):
        ToolBox([ResizeImage(), ResizeImage()])


def test_a_schema_without_parameters_takes_any_arguments() -> None:
    class Bare(CropImage):
        def schema(self) -> dict[str, Json]:
            return {"type": "function", "function": {"name": self.name}}

    ToolBox([Bare()]).check("crop_image", {"anything": 1})
