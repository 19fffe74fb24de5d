"""Regions and chosen sizes: what each call shows, and what the model hears when it shows nothing."""

import pytest

from visionthink.core import (
    LOOK_AT,
    LOOK_NEAR,
    NEAR_REGIONS,
    REGIONS,
    TOOLS,
    Box,
    CropImage,
    Json,
    Look,
    Size,
    ToolBox,
    View,
    ViewRule,
    ZoomImage,
    full_view,
    get_tool,
    quarter_view,
)
from visionthink.errors import ToolArgumentError, UserError

ORIGINAL = Size(width=1120, height=840)
RULE = ViewRule()
FIRST, FULL = quarter_view(ORIGINAL, RULE), full_view(ORIGINAL, RULE)
BOX = ToolBox([CropImage(), ZoomImage(), LOOK_AT, LOOK_NEAR])
TOP_LEFT = View(size=Size(width=560, height=420), box=Box(left=0, top=0, right=560, bottom=420))


def _view(
    name: str, arguments: dict[str, Json], *views: View, original: Size = ORIGINAL, rule: ViewRule = RULE
) -> View:
    shown = views or (quarter_view(original, rule),)
    return BOX.view(name, arguments, Look(original=original, rule=rule, views=shown))


def _complaint(name: str, arguments: dict[str, Json], *views: View) -> str:
    with pytest.raises(ToolArgumentError) as caught:
        _view(name, arguments, *views)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "views", "want"),
    [
        ({"bbox_2d": [0, 0, 280, 210]}, (FIRST,), Box(left=0, top=0, right=560, bottom=420)),
        ({"bbox_2d": [100, 50, 240, 120]}, (FIRST,), Box(left=200, top=100, right=480, bottom=240)),
        ({"bbox_2d": [280, 0, 560, 210], "view": 1}, (FIRST, TOP_LEFT), Box(left=560, top=0, right=1120, bottom=420)),
        ({"bbox_2d": [10, 20, 11, 21]}, (FIRST,), Box(left=0, top=13, right=56, bottom=69)),
        ({"bbox_2d": [559, 419, 560, 420]}, (FIRST,), Box(left=1064, top=784, right=1120, bottom=840)),
        ({"bbox_2d": [0, 10, 560, 11]}, (FIRST,), Box(left=0, top=0, right=1120, bottom=56)),
    ],
    ids=["a quarter", "any box", "of a view by number", "a pixel is widened", "in the corner", "a line is widened"],
)
def test_crop_shows_the_region_behind_the_box(arguments: dict[str, Json], views: tuple[View, ...], want: Box) -> None:
    view = _view("crop_image", arguments, *views)
    assert view.box == want
    assert abs(view.size.width - want.size.width) <= 14 and abs(view.size.height - want.size.height) <= 14


def test_crop_of_a_crop_is_given_in_the_pixels_of_the_crop() -> None:
    original = Size(width=8000, height=6000)
    left_half = _view("crop_image", {"bbox_2d": [0, 0, 588, 896]}, original=original)
    assert left_half.box is not None and left_half.size.width < left_half.box.size.width  # the cap made it smaller
    whole = quarter_view(original, RULE)
    view = _view("crop_image", {"bbox_2d": [0, 0, 280, 280]}, whole, left_half, original=original)
    assert view.box == Box(left=0, top=0, right=678, bottom=675)
    assert view.size == Size(width=672, height=672)


def test_crop_stays_within_the_cap() -> None:
    original = Size(width=8000, height=6000)
    assert _view("crop_image", {"bbox_2d": [0, 0, 1100, 800]}, original=original).size.pixels <= RULE.max_pixels


def test_crop_of_a_picture_narrower_than_a_region_is_enlarged() -> None:
    rule = ViewRule(min_pixels=1)
    view = _view("crop_image", {"bbox_2d": [0, 0, 28, 28]}, original=Size(width=400, height=30), rule=rule)
    assert view == View(size=Size(width=112, height=56), box=Box(left=0, top=0, right=58, bottom=30))


@pytest.mark.parametrize(
    ("arguments", "views", "want"),
    [
        (
            {"bbox_2d": [0, 0, 700, 100]},
            (FIRST,),
            "the box [0, 0, 700, 100] leaves view 1, which has 560 x 420 pixels",
        ),
        (
            {"bbox_2d": [0, 0, 100, 421]},
            (FIRST, FIRST),
            "the box [0, 0, 100, 421] leaves view 2, which has 560 x 420 pixels",
        ),
        (
            {"bbox_2d": [100, 0, 100, 50]},
            (FIRST,),
            "the box [100, 0, 100, 50] is empty, left < right and top < bottom must hold",
        ),
        (
            {"bbox_2d": [0, 60, 100, 50]},
            (FIRST,),
            "the box [0, 60, 100, 50] is empty, left < right and top < bottom must hold",
        ),
        ({"bbox_2d": [0, 0, 9, 9], "view": 2}, (FIRST,), "there is no view 2, the last one shown so far is view 1"),
        ({"bbox_2d": [0, 0, 9, 9], "view": 0}, (FIRST,), "arguments.view must be at least 1"),
        ({"bbox_2d": [-1, 0, 9, 9]}, (FIRST,), "arguments.bbox_2d[0] must be at least 0"),
        ({"bbox_2d": [0, 0, 9.5, 9]}, (FIRST,), "arguments.bbox_2d[2] must be of type integer"),
        ({"bbox_2d": [0, 0, 9]}, (FIRST,), "arguments.bbox_2d must hold at least 4 and at most 4 items"),
        ({}, (FIRST,), "arguments.bbox_2d is missing"),
        (
            {"bbox_2d": [0, 0, 280, 210]},
            (FIRST, TOP_LEFT, FIRST),
            "view 2 shows that already, at least as large, so there is nothing more to see of it",
        ),
        (
            {"bbox_2d": [10, 10, 200, 200]},
            (FIRST, TOP_LEFT),
            "view 2 shows that already, at least as large, so there is nothing more to see of it",
        ),
        (
            {"bbox_2d": [0, 0, 280, 210], "view": 1},
            (FIRST, FULL),
            "view 2 shows that already, at least as large, so there is nothing more to see of it",
        ),
    ],
    ids=[
        "too far right",
        "too far down",
        "no width",
        "upside down",
        "no such view",
        "view zero",
        "negative",
        "half a pixel",
        "three edges",
        "no box",
        "the same region again",
        "inside a region",
        "inside the full view",
    ],
)
def test_crop_says_in_the_views_own_pixels_why_it_shows_nothing(
    arguments: dict[str, Json], views: tuple[View, ...], want: str
) -> None:
    assert _complaint("crop_image", arguments, *views) == want


@pytest.mark.parametrize(
    ("shrink", "factor", "want"),
    [
        (2, 2, (1120, 840)),
        (3, 2, (756, 560)),
        (3, 4, (1120, 840)),
        (4, 2, (560, 420)),
        (4, 4, (1120, 840)),
        (8, 2, (280, 224)),
        (8, 4, (560, 420)),
    ],
)
def test_zoom_shows_the_whole_at_a_multiple_of_the_first_look(shrink: int, factor: int, want: tuple[int, int]) -> None:
    view = _view("zoom_image", {"factor": factor}, rule=ViewRule(shrink=shrink))
    assert (view.size.width, view.size.height, view.box) == (*want, None)


def test_zoom_refuses_what_adds_no_pixel() -> None:
    assert _complaint("zoom_image", {"factor": 4}, FIRST, FULL).startswith("view 2 shows that already")
    assert _complaint("zoom_image", {"factor": 3}) == "arguments.factor must be one of [2, 4]"


def test_a_region_does_not_stand_for_the_whole() -> None:
    assert _view("zoom_image", {"factor": 2}, FIRST, TOP_LEFT) == FULL


def test_descriptions_say_how_a_small_box_is_treated() -> None:
    assert "fewer than 56 x 56 pixels of the image itself is widened" in str(CropImage().schema())


def test_tools_are_found_by_name() -> None:
    assert list(TOOLS) == ["resize_image", "zoom_image", "crop_image", "look_at", "look_near"]
    assert all(get_tool(name).name == name for name in TOOLS)
    assert get_tool("mine", {"mine": CropImage()}).name == "crop_image"


def test_an_unknown_tool_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="no tool 'zoom'; choose one of: resize_image, zoom_image, crop_image"):
        get_tool("zoom")


@pytest.mark.parametrize(
    ("region", "want"),
    [
        ("top left", (0, 0, 560, 420)),
        ("top right", (560, 0, 1120, 420)),
        ("bottom left", (0, 420, 560, 840)),
        ("bottom right", (560, 420, 1120, 840)),
    ],
)
def test_a_named_region_is_that_quarter_at_the_pictures_own_resolution(
    region: str, want: tuple[int, int, int, int]
) -> None:
    view = _view("look_at", {"region": region})
    assert view.box is not None and view.box.edges == want
    assert (view.size.width, view.size.height) == (560, 420)


def test_the_named_whole_is_the_full_view() -> None:
    assert _view("look_at", {"region": "whole"}) == FULL


def test_named_regions_share_the_middle_line_of_an_odd_picture_and_leave_no_pixel_out() -> None:
    boxes = [_view("look_at", {"region": region}, original=Size(width=701, height=905)).box for region in REGIONS]
    assert [box.edges for box in boxes if box] == [
        (0, 0, 351, 453),
        (350, 0, 701, 453),
        (0, 452, 351, 905),
        (350, 452, 701, 905),
    ]


def test_a_quarter_of_a_small_picture_is_widened_to_what_a_view_must_have() -> None:
    rule = ViewRule(min_pixels=1, max_pixels=112 * 112)
    view = _view("look_at", {"region": "bottom right"}, original=Size(width=90, height=112), rule=rule)
    assert view.box is not None and view.box.edges == (34, 56, 90, 112)
    assert view.visual_tokens == 4


@pytest.mark.parametrize(
    ("region", "want"),
    [
        ("top left", (0, 0, 560, 420)),
        ("top", (280, 0, 840, 420)),
        ("left", (0, 210, 560, 630)),
        ("middle", (280, 210, 840, 630)),
        ("bottom", (280, 420, 840, 840)),
        ("bottom right", (560, 420, 1120, 840)),
    ],
)
def test_a_window_is_half_as_wide_and_high_and_a_quarter_of_a_side_from_the_next(
    region: str, want: tuple[int, int, int, int]
) -> None:
    view = _view("look_near", {"region": region})
    assert view.box is not None and view.box.edges == want
    assert (view.size.width, view.size.height) == (560, 420)


def test_both_tools_show_the_same_where_they_have_the_same_name_for_it() -> None:
    for region in (*REGIONS, "whole"):
        assert _view("look_near", {"region": region}) == _view("look_at", {"region": region})


@pytest.mark.parametrize("side", [701, 702, 703, 704])
def test_windows_of_any_picture_are_of_one_size_and_leave_no_pixel_out(side: int) -> None:
    original = Size(width=side, height=side)
    boxes = [_view("look_near", {"region": region}, original=original).box for region in NEAR_REGIONS]
    assert len({box.size for box in boxes if box}) == 1
    assert {edge for box in boxes if box for edge in (box.left, box.right)} >= {0, side}
    assert len(set(boxes)) == len(NEAR_REGIONS)


@pytest.mark.parametrize("shown", [TOP_LEFT, FULL], ids=["the same", "the whole"])
def test_a_named_region_that_was_shown_is_refused(shown: View) -> None:
    complaint = _complaint("look_at", {"region": "top left"}, FIRST, shown)
    assert complaint.startswith("view 2 shows that already")


def test_an_unknown_region_is_refused_with_those_that_exist() -> None:
    assert '"top left"' in _complaint("look_at", {"region": "middle"})
