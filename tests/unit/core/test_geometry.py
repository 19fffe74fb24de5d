"""View sizes: the fact sheet's rows, the bounds, and who is told what when a picture cannot be viewed."""

import pytest
from PIL import Image, ImageOps

from visionthink.core import (
    Box,
    Size,
    View,
    ViewRule,
    enlarged_view,
    fitted,
    full_view,
    grown,
    oriented,
    quarter_view,
    region_view,
    snapped,
    to_original,
    to_view,
    visual_tokens,
)
from visionthink.errors import ConfigError, DataError

RULE = ViewRule()


def _size(width: int, height: int) -> Size:
    return Size(width=width, height=height)


@pytest.mark.parametrize(
    ("original", "want_quarter", "want_full"),
    [
        (_size(2048, 1024), 666, 2701),
        (_size(4032, 3024), 1344, 5292),
        (_size(1024, 768), 252, 999),
        (_size(640, 480), 99, 391),
    ],
    ids=["within the bounds", "capped", "a screen", "above the floor"],
)
def test_views_cost_the_tokens_of_the_fact_sheet(original: Size, want_quarter: int, want_full: int) -> None:
    assert quarter_view(original, RULE).visual_tokens == want_quarter
    assert full_view(original, RULE).visual_tokens == want_full


@pytest.mark.parametrize(
    ("original", "want"),
    [
        (_size(4032, 3024), _size(2364, 1773)),
        (_size(2048, 2048), _size(2048, 2048)),
        (_size(512, 512), _size(512, 512)),
        (_size(256, 256), _size(512, 512)),
        (_size(88, 34), _size(823, 318)),
    ],
    ids=["scaled down to the cap", "exactly the cap", "exactly the floor", "scaled up to the floor", "tiny and long"],
)
def test_fitted_scales_into_the_bounds_with_whole_pixels(original: Size, want: Size) -> None:
    assert fitted(original, RULE) == want


def test_full_view_rounds_down_when_nearest_would_pass_the_cap() -> None:
    rule = ViewRule(max_pixels=100 * 100, min_pixels=1)
    assert full_view(_size(100, 100), rule).size == _size(84, 84)  # 112 x 112 is nearest, and above the cap


def test_quarter_view_takes_the_shrink_of_the_rule() -> None:
    assert quarter_view(_size(1120, 1120), ViewRule(shrink=4)).size == _size(280, 280)


def test_a_side_below_one_token_becomes_one_token() -> None:
    rule = ViewRule(min_pixels=1)
    assert quarter_view(_size(3, 5), rule).size == _size(28, 28)


def test_a_sliver_is_cut_to_the_aspect_that_the_processor_takes() -> None:
    view = full_view(_size(5000, 25), RULE)  # 7240 x 36 once fitted: rounding alone would give 7252 x 28, which is 259
    assert view.size == _size(5600, 28)


def test_another_multiple_counts_other_tokens() -> None:
    view = full_view(_size(640, 640), ViewRule(multiple=32))
    assert (view.size, view.visual_tokens) == (_size(640, 640), 400)


def test_a_picture_longer_than_the_aspect_limit_is_refused() -> None:
    with pytest.raises(DataError, match="2010 x 10 pixels is longer than 200 times"):
        full_view(_size(2010, 10), RULE)


def test_snapped_leaves_multiples_alone() -> None:
    assert snapped(_size(56, 84), RULE) == _size(56, 84)


def test_visual_tokens_refuses_a_size_off_the_grid() -> None:
    with pytest.raises(DataError, match="100 x 56 is not a multiple of 28"):
        visual_tokens(_size(100, 56))


@pytest.mark.parametrize("orientation", range(10))
def test_oriented_agrees_with_pillow(orientation: int) -> None:
    picture = Image.new("L", (3, 2))
    picture.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(picture)
    assert oriented(_size(3, 2), orientation) == _size(*turned.size)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_quarter_turns_swap_the_sides(orientation: int) -> None:
    assert oriented(_size(3, 2), orientation) == _size(2, 3)


def test_region_view_shows_a_box_at_its_own_pixels() -> None:
    box = Box(left=100, top=200, right=380, bottom=340)
    assert region_view(_size(1000, 1000), box, RULE) == View(size=_size(280, 140), box=box)


def test_region_view_zooms() -> None:
    box = Box(left=0, top=0, right=56, bottom=28)
    assert region_view(_size(100, 100), box, RULE, zoom=3).size == _size(168, 84)


def test_region_view_never_passes_the_cap() -> None:
    box = Box(left=0, top=0, right=4000, bottom=3000)
    assert region_view(_size(4000, 3000), box, RULE, zoom=50).size.pixels <= RULE.max_pixels


@pytest.mark.parametrize(
    ("box", "zoom", "want"),
    [
        (Box(left=0, top=0, right=101, bottom=10), 1.0, "leaves the picture of 100 x 500"),
        (Box(left=0, top=0, right=10, bottom=501), 1.0, "leaves the picture of 100 x 500"),
        (Box(left=0, top=0, right=1, bottom=300), 1.0, "1 x 300 pixels is longer than 200 times"),
        (Box(left=0, top=0, right=10, bottom=10), 0.0, "zoom must be a positive number, got 0.0"),
        (Box(left=0, top=0, right=10, bottom=10), float("nan"), "zoom must be a positive number, got nan"),
        (Box(left=0, top=0, right=10, bottom=10), float("inf"), "zoom must be a positive number, got inf"),
    ],
    ids=["too far right", "too far down", "sliver", "zero zoom", "no number", "infinite zoom"],
)
def test_region_view_refuses(box: Box, zoom: float, want: str) -> None:
    with pytest.raises(DataError, match=want):
        region_view(_size(100, 500), box, RULE, zoom)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, -1, 5, 5), (5, 0, 5, 5), (0, 6, 5, 5)])
def test_box_must_hold_pixels(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    with pytest.raises(DataError, match="empty or negative"):
        Box(left=left, top=top, right=right, bottom=bottom)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-3, 5)])
def test_size_must_hold_pixels(width: int, height: int) -> None:
    with pytest.raises(DataError, match="has no content"):
        _size(width, height)


@pytest.mark.parametrize("number", ["multiple", "min_pixels", "shrink", "max_aspect"])
def test_view_rule_refuses_zero(number: str) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        ViewRule(**{number: 0})


@pytest.mark.parametrize("max_pixels", [512**2 - 1, 783])
def test_view_rule_refuses_a_cap_below_the_floor_or_one_token(max_pixels: int) -> None:
    with pytest.raises(ConfigError, match=f"max_pixels {max_pixels} is below"):
        ViewRule(max_pixels=max_pixels, min_pixels=1 if max_pixels == 783 else 512**2)


@pytest.mark.parametrize(
    ("shrink", "factor", "want"),
    [(3, 1, (336, 252)), (3, 2, (672, 504)), (3, 3, (1008, 756)), (4, 1, (252, 196)), (4, 3, (756, 560))],
)
def test_enlarged_view_divides_the_full_sides(shrink: int, factor: int, want: tuple[int, int]) -> None:
    view = enlarged_view(_size(1000, 750), ViewRule(shrink=shrink), factor)
    assert (view.size.width, view.size.height) == want


def test_enlarged_view_refuses_no_view() -> None:
    with pytest.raises(DataError, match="cannot have 0 times the sides"):
        enlarged_view(_size(100, 100), RULE, 0)


def test_a_box_of_a_view_is_a_region_of_the_original() -> None:
    original, view = _size(1000, 800), View(size=_size(500, 200), box=Box(left=0, top=400, right=1000, bottom=800))
    box = Box(left=10, top=10, right=20, bottom=30)
    assert to_original(box, view, original) == Box(left=20, top=420, right=40, bottom=460)
    assert to_view(Box(left=20, top=420, right=40, bottom=460), view, original) == box
    assert to_view(Box(left=20, top=0, right=40, bottom=400), view, original) is None


def test_edges_between_pixels_go_outwards() -> None:
    original, view = _size(100, 100), View(size=_size(28, 28))
    assert to_original(Box(left=1, top=0, right=2, bottom=28), view, original) == Box(
        left=3, top=0, right=8, bottom=100
    )


def test_a_box_that_leaves_its_view_is_refused() -> None:
    with pytest.raises(DataError, match=r"leaves the view of 28 x 28 pixels; keep it inside"):
        to_original(Box(left=0, top=0, right=29, bottom=28), View(size=_size(28, 28)), _size(100, 100))


@pytest.mark.parametrize(
    ("box", "original", "want"),
    [
        ((100, 100, 101, 101), (1000, 1000), (73, 73, 129, 129)),
        ((0, 0, 1, 1), (1000, 1000), (0, 0, 56, 56)),
        ((999, 999, 1000, 1000), (1000, 1000), (944, 944, 1000, 1000)),
        ((10, 10, 90, 90), (1000, 1000), (10, 10, 90, 90)),
        ((0, 500, 15000, 501), (15000, 1000), (0, 463, 15000, 538)),
        ((5, 5, 6, 6), (40, 1000), (0, 0, 40, 56)),
    ],
    ids=["a pixel", "a corner", "the last pixel", "large enough", "a sliver", "a narrow picture"],
)
def test_a_small_box_grows_around_its_middle(
    box: tuple[int, int, int, int], original: tuple[int, int], want: tuple[int, int, int, int]
) -> None:
    large = grown(Box(left=box[0], top=box[1], right=box[2], bottom=box[3]), _size(*original), RULE)
    assert (large.left, large.top, large.right, large.bottom) == want
