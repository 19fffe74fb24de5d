"""The tool box: what a call is checked for, and that the model hears of every mistake in the same words."""

import pytest

from visionthink.core import (
    Box,
    Json,
    JsonObject,
    Look,
    ResizeImage,
    Size,
    ToolBox,
    View,
    ViewRule,
    full_view,
    quarter_view,
    region_view,
)
from visionthink.errors import ConfigError, EpisodeError, ToolArgumentError

RULE = ViewRule()
ORIGINAL = Size(width=1024, height=768)
LOOK = Look(original=ORIGINAL, rule=RULE, views=(quarter_view(ORIGINAL, RULE),))
RESIZE = ToolBox([ResizeImage()])


class Corner:
    """A tool that the package does not know: a square in the top left corner, of the original's pixels."""

    name = "corner"
    told: str | None = "the corner : <image>"

    def schema(self) -> dict[str, Json]:
        side: dict[str, Json] = {"type": "integer"}
        parameters: dict[str, Json] = {"type": "object", "properties": {"side": side}, "required": ["side"]}
        return {"type": "function", "function": {"name": self.name, "parameters": parameters}}

    def view(self, arguments: JsonObject, look: Look) -> View:
        side = arguments["side"]
        assert isinstance(side, int)
        if side > 10**100:
            raise ToolArgumentError(f"{side} is absurd")
        return region_view(look.original, Box(left=0, top=0, right=side, bottom=side), look.rule)


def test_resize_shows_the_full_view() -> None:
    assert RESIZE.view("resize_image", {"action": "resize"}, LOOK) == full_view(ORIGINAL, RULE)


def test_resize_shows_the_full_view_again_when_it_is_called_again() -> None:
    twice = Look(original=ORIGINAL, rule=RULE, views=(*LOOK.views, full_view(ORIGINAL, RULE)))
    assert RESIZE.view("resize_image", {"action": "resize"}, twice) == full_view(ORIGINAL, RULE)


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
        RESIZE.view(name, arguments, LOOK)
    assert str(caught.value) == want


def test_an_empty_box_knows_no_function() -> None:
    with pytest.raises(ToolArgumentError, match='no function "resize_image", available: none'):
        ToolBox().check("resize_image", {"action": "resize"})


def test_what_the_geometry_refuses_is_the_models_mistake() -> None:
    with pytest.raises(ToolArgumentError, match="leaves the picture of 1024 x 768"):
        ToolBox([Corner()]).view("corner", {"side": 1000}, LOOK)


@pytest.mark.parametrize("side", [10**90, 10**4000], ids=["told by the geometry", "told by the tool"])
def test_a_complaint_stays_short_whatever_numbers_the_model_makes_up(side: int) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        ToolBox([Corner()]).view("corner", {"side": side}, LOOK)
    assert len(str(caught.value)) <= 300


def test_a_tool_has_its_own_words_or_leaves_them_to_the_protocol() -> None:
    box = ToolBox([Corner(), ResizeImage()])
    assert (box.told("corner"), box.told("resize_image")) == ("the corner : <image>", None)


@pytest.mark.parametrize("told", ["no view", "<image> and <image>"])
def test_words_that_do_not_show_the_view_once_are_refused(told: str) -> None:
    class Wordy(Corner):
        pass

    Wordy.told = told
    with pytest.raises(ConfigError, match="tool 'corner' must tell of its view with <image> once"):
        ToolBox([Wordy()])


def test_box_keeps_the_order_of_registration() -> None:
    box = ToolBox([Corner(), ResizeImage()])
    assert box.names == ("corner", "resize_image")
    assert [tool.name for tool in box] == list(box.names)
    assert len(box) == len(box.schemas()) == 2


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are named 'resize_image'"):
        ToolBox([ResizeImage(), ResizeImage()])


def test_a_schema_without_parameters_takes_any_arguments() -> None:
    class Bare(Corner):
        def schema(self) -> dict[str, Json]:
            return {"type": "function", "function": {"name": self.name}}

    ToolBox([Bare()]).check("corner", {"anything": 1})


def test_a_look_at_nothing_is_refused() -> None:
    with pytest.raises(EpisodeError, match="before the first view was shown"):
        Look(original=ORIGINAL, rule=RULE, views=())
