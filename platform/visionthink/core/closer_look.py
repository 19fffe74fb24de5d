"""Tools beside the paper's: a region of the picture, or all of it at a chosen size; and every shipped tool by name.

A region is given as a box, or by a name out of a closed set, which a small model can learn to write.

Rule: the model speaks of pixels that it saw. A box is in the pixels of one of the views shown, complaints are too, and
the mapping to the original is the geometry's. A call must add pixels: what a shown view holds as finely already is
refused, and the model is told where to look.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from visionthink.core.geometry import (
    MIN_REGION_SIDE,
    Box,
    Size,
    View,
    ViewRule,
    enlarged_view,
    full_view,
    grown,
    region_view,
    shown_box,
    shows,
    to_original,
    view_scale,
)
from visionthink.core.json_value import Json, JsonObject
from visionthink.core.tool import Look, ResizeImage, Tool
from visionthink.errors import ToolArgumentError, UserError

_FACTORS: Final = (2, 4)
_PER_SIDE: Final = 3
"""Windows of ``look_near`` side by side."""
REGIONS: Final = ("top left", "top right", "bottom left", "bottom right")
"""The quarters that ``look_at`` shows, row by row."""
NEAR_REGIONS: Final = (
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
"""The windows that ``look_near`` shows, row by row: half as wide and high as the picture, a quarter of a side apart."""
WHOLE: Final = "whole"
"""What ``look_at`` and ``look_near`` call all of the picture."""


class ZoomImage:
    """The whole picture at a chosen multiple of the first look's sides, at most the full view."""

    @property
    def name(self) -> str:
        """The function's name."""
        return "zoom_image"

    @property
    def told(self) -> str:
        """That it is the whole picture again."""
        return "View {number} shows the whole image in {width} x {height} pixels:\n<image>"

    def schema(self) -> dict[str, Json]:
        """A factor, out of two."""
        factor: dict[str, Json] = {
            "description": "How many times the width and height of view 1; the image's full resolution is the limit.",
            "enum": [*_FACTORS],
            "type": "integer",
        }
        description = (
            "Show the whole image again, larger than in view 1. Use it when the information needed to answer the "
            "question is too small to be seen and may stand anywhere."
        )
        return _function(self.name, description, {"factor": factor}, required="factor")

    def view(self, arguments: JsonObject, look: Look) -> View:
        """The whole picture, cut from the original.

        Raises:
            ToolArgumentError: it was shown in that size, or a larger one, before.
        """
        view = enlarged_view(look.original, look.rule, _integer(arguments["factor"]))
        _refuse_shown(view, view_scale(view, look.original), look)
        return view


class CropImage:
    """A region of the picture at the original's own resolution, given as a box in a view that was shown."""

    @property
    def name(self) -> str:
        """The function's name."""
        return "crop_image"

    @property
    def told(self) -> str:
        """That it is the region, and the size in which further boxes may be given."""
        return "View {number} shows the region in {width} x {height} pixels:\n<image>"

    def schema(self) -> dict[str, Json]:
        """A box, and which view it is given in."""
        side: dict[str, Json] = {"type": "integer", "minimum": 0}
        box: dict[str, Json] = {
            "description": "Left, top, right and bottom edge of the region, in pixels of the view.",
            "type": "array",
            "items": side,
            "minItems": 4,
            "maxItems": 4,
        }
        view: dict[str, Json] = {
            "description": "Number of the view that the box is given in, 1 being the first; the last one if left out.",
            "type": "integer",
            "minimum": 1,
        }
        description = (
            "Show a region of the image at the image's own resolution. Use it when the information needed to answer "
            f"the question is too small to be seen. A region of fewer than {MIN_REGION_SIDE} x {MIN_REGION_SIDE} "
            "pixels of the image itself is widened around its middle."
        )
        return _function(self.name, description, {"bbox_2d": box, "view": view}, required="bbox_2d")

    def picture(self, arguments: JsonObject, views: Sequence[View]) -> int:
        """The picture of the view that the box is given in.

        Raises:
            ToolArgumentError: there is no such view.
        """
        return views[_chosen_view(arguments, views) - 1].picture

    def view(self, arguments: JsonObject, look: Look) -> View:
        """The region behind the box, cut from the original, within the rule's cap.

        Raises:
            ToolArgumentError: there is no such view, the box is empty or leaves it, or the region was shown before.
        """
        number = _chosen_view(arguments, look.views)
        seen = look.views[number - 1]
        box = to_original(_box(arguments, number, seen.size), seen, look.original)
        view = _at_own_resolution(box, look.original, look.rule)
        _refuse_shown(view, _region_scale(view, look.original), look)
        return view


class LookAt:
    """A region of the picture by its name, at the original's own resolution; or the whole, at full size."""

    def __init__(self, name: str, regions: Sequence[str], *, description: str, choice: str) -> None:
        """Offer ``regions`` beside the whole; ``description`` and ``choice`` tell the model of the call and of them."""
        self._name, self._description, self._choice = name, description, choice
        self.regions: Final = tuple(regions)
        """What may be asked for, beside the whole."""

    @property
    def name(self) -> str:
        """The function's name."""
        return self._name

    @property
    def told(self) -> str:
        """That it is the region asked for."""
        return "View {number} shows the region in {width} x {height} pixels:\n<image>"

    def schema(self) -> dict[str, Json]:
        """A region, out of the names."""
        region: dict[str, Json] = {
            "description": self._choice,
            "enum": [*self.regions, WHOLE],
            "type": "string",
        }
        return _function(self.name, self._description, {"region": region}, required="region")

    def view(self, arguments: JsonObject, look: Look) -> View:
        """The region of that name, cut from the original.

        Raises:
            ToolArgumentError: it was shown before, at least as large.
        """
        view = named_view(str(arguments["region"]), look.original, look.rule)
        scale = _region_scale(view, look.original) if view.box else view_scale(view, look.original)
        _refuse_shown(view, scale, look)
        return view


LOOK_AT: Final = LookAt(
    "look_at",
    REGIONS,
    description=(
        "Show a quarter of the image, or the whole, at full resolution. Use it when the information needed to "
        "answer the question is too small to be seen; a quarter costs a quarter."
    ),
    choice="Which quarter of the image, or `whole` for all of it.",
)
"""Quarters that share nothing but a middle line."""
LOOK_NEAR: Final = LookAt(
    "look_near",
    NEAR_REGIONS,
    description=(
        "Show a part of the image, half as wide and half as high, or the whole, at full resolution. Use it when the "
        "information needed to answer the question is too small to be seen; a part costs a quarter."
    ),
    choice="Around which place of the image, or `whole` for all of it. Neighbouring parts overlap by half.",
)
"""Windows that overlap, for what does not stand within a quarter."""


def named_view(name: str, original: Size, rule: ViewRule) -> View:
    """The view that ``look_at`` and ``look_near`` show of ``name``, out of ``NEAR_REGIONS`` and ``WHOLE``.

    Raises:
        DataError: no view of the picture is possible.
    """
    if name == WHOLE:
        return full_view(original, rule)
    return _at_own_resolution(_named_box(name, original), original, rule)


TOOLS: Final[Mapping[str, Tool]] = MappingProxyType(
    {tool.name: tool for tool in (ResizeImage(), ZoomImage(), CropImage(), LOOK_AT, LOOK_NEAR)}
)
"""Every shipped tool by its name. None of them has a state, so all episodes share them."""


def get_tool(name: str, tools: Mapping[str, Tool] = TOOLS) -> Tool:
    """The tool called ``name``.

    Raises:
        UserError: there is none; the message lists those that exist.
    """
    if name not in tools:
        raise UserError(f"there is no tool {name!r}; choose one of: {', '.join(tools)}")
    return tools[name]


def _function(name: str, description: str, properties: dict[str, Json], *, required: str) -> dict[str, Json]:
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": [required]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _integer(value: Json) -> int:
    assert isinstance(value, int), "the tool box has checked the arguments against the schema"
    return value


def _chosen_view(arguments: JsonObject, views: Sequence[View]) -> int:
    number = _integer(arguments.get("view", len(views)))
    if number > len(views):
        raise ToolArgumentError(f"there is no view {number}, the last one shown so far is view {len(views)}")
    return number


def _box(arguments: JsonObject, number: int, size: Size) -> Box:
    sides = arguments["bbox_2d"]
    assert isinstance(sides, list), "the tool box has checked the arguments against the schema"
    left, top, right, bottom = map(_integer, sides)
    if left >= right or top >= bottom:
        raise ToolArgumentError(
            f"the box {[left, top, right, bottom]} is empty, left < right and top < bottom must hold"
        )
    if right > size.width or bottom > size.height:
        raise ToolArgumentError(
            f"the box {[left, top, right, bottom]} leaves view {number}, which has {size.width} x {size.height} pixels"
        )
    return Box(left=left, top=top, right=right, bottom=bottom)


def _named_box(name: str, original: Size) -> Box:
    row, column = divmod(NEAR_REGIONS.index(name), _PER_SIDE)
    left, right = _half(column, original.width)
    top, bottom = _half(row, original.height)
    return Box(left=left, top=top, right=right, bottom=bottom)


def _half(number: int, side: int) -> tuple[int, int]:
    """The first, middle or second half of a side; the middle pixel of an odd one is in both outer ones."""
    start = number * (side // 2) // (_PER_SIDE - 1)
    return start, start - (-side // 2)


def _at_own_resolution(box: Box, original: Size, rule: ViewRule) -> View:
    box = grown(box, original, rule)
    return region_view(original, box, rule, _zoom(box.size))


def _zoom(region: Size) -> float:
    """1, but for a picture that is itself narrower than a region may be: that is enlarged."""
    return max(1.0, MIN_REGION_SIDE / min(region.width, region.height))


def _region_scale(view: View, original: Size) -> float:
    """How finely a region would have to have been shown to make its view superfluous."""
    return min(view_scale(view, original), _zoom(shown_box(view, original).size))


def _refuse_shown(view: View, scale: float, look: Look) -> None:
    region = shown_box(view, look.original)
    for number, seen in enumerate(look.views, start=1):
        if seen.picture == look.picture and shows(seen, region, scale, look.original):
            raise ToolArgumentError(
                f"view {number} shows that already, at least as large, so there is nothing more to see of it"
            )
