"""What holds of every view of every picture, and that the model's real processor agrees about its cost."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.property.core.strategies import MAX_ASPECT, boxes, sizes, view_rules
from transformers import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from visionthink.core import (
    MIN_REGION_SIDE,
    Box,
    Size,
    View,
    ViewRule,
    enlarged_view,
    fitted,
    full_view,
    grown,
    quarter_view,
    region_view,
    shown_box,
    shows,
    snapped,
    to_original,
    to_view,
    view_scale,
)
from visionthink.errors import DataError

NUM_SIZES = 2000
MERGE = 2
"""Patches that the processor merges into one visual token, along each side."""


@given(sizes(), view_rules())
def test_views_lie_on_the_grid_within_the_cap(original: Size, rule: ViewRule) -> None:
    for view in (quarter_view(original, rule), full_view(original, rule)):
        assert view.size.width % rule.multiple == view.size.height % rule.multiple == 0
        assert view.size.pixels <= rule.max_pixels
        assert view.size.aspect_ratio <= rule.max_aspect
        assert view.visual_tokens * rule.multiple**2 == view.size.pixels


@given(sizes(), view_rules())
def test_quarter_view_is_never_larger_than_the_full_view(original: Size, rule: ViewRule) -> None:
    quarter, full = quarter_view(original, rule), full_view(original, rule)
    assert quarter.size.width <= full.size.width
    assert quarter.size.height <= full.size.height


@given(sizes(), view_rules())
def test_snapping_twice_changes_nothing(original: Size, rule: ViewRule) -> None:
    once = snapped(original, rule)
    assert snapped(once, rule) == once


@given(sizes(), view_rules())
def test_a_full_view_within_the_bounds_is_its_own_full_view(original: Size, rule: ViewRule) -> None:
    once = full_view(original, rule)
    assume(once.size.pixels >= rule.min_pixels)
    assert full_view(once.size, rule) == once


@given(sizes(), view_rules())
def test_fitted_stays_under_the_cap_and_keeps_the_aspect(original: Size, rule: ViewRule) -> None:
    size = fitted(original, rule)
    assert size.pixels <= rule.max_pixels
    # Cutting each side to whole pixels is all that may be lost.
    scale = max(size.width / original.width, size.height / original.height)
    assert original.width * scale < size.width + 1 + 1e-6 * size.width
    assert original.height * scale < size.height + 1 + size.height / size.width


@given(st.integers(1, 50), st.integers(1, 10_000))
def test_a_picture_beyond_the_aspect_limit_is_refused(short: int, excess: int) -> None:
    with pytest.raises(DataError, match=f"longer than {MAX_ASPECT} times"):
        full_view(Size(width=short * MAX_ASPECT + excess, height=short), ViewRule())


@given(sizes(), view_rules(), st.integers(1, 6))
def test_a_larger_factor_never_shows_less_and_ends_at_the_full_view(
    original: Size, rule: ViewRule, factor: int
) -> None:
    smaller, larger = (enlarged_view(original, rule, number) for number in (factor, factor + 1))
    assert smaller.visual_tokens <= larger.visual_tokens
    assert enlarged_view(original, rule, 1) == quarter_view(original, rule)
    assert enlarged_view(original, rule, max(factor, rule.shrink)) == full_view(original, rule)


@st.composite
def seen_pictures(draw: st.DrawFn) -> tuple[Size, View]:
    """A picture and a view of it: the whole at either size, a region, or a region that was given in a region."""
    original, rule = draw(sizes(max_side=3000)), draw(view_rules())
    view = draw(st.sampled_from([quarter_view, full_view]))(original, rule)
    for _ in range(draw(st.integers(0, 2))):
        box = to_original(draw(boxes(view.size)), view, original)
        assume(box.size.aspect_ratio <= MAX_ASPECT)
        view = region_view(original, box, rule, draw(st.floats(0.1, 4)))
    return original, view


@given(seen_pictures(), st.data())
def test_a_box_of_a_view_comes_back_within_a_pixel(seen: tuple[Size, View], data: st.DataObject) -> None:
    original, view = seen
    box = data.draw(boxes(view.size))
    back = to_view(to_original(box, view, original), view, original)
    assert back is not None and back.contains(box)
    # A pixel of the original may be many of a view that enlarges it; no mapping can be finer than the coarser grid.
    region = shown_box(view, original).size
    across, down = (1 + max(1, side / real) for side, real in zip(_sides(view.size), _sides(region), strict=True))
    assert max(box.left - back.left, back.right - box.right) < across
    assert max(box.top - back.top, back.bottom - box.bottom) < down


@given(seen_pictures(), st.data())
def test_a_view_that_enlarges_nothing_maps_boxes_back_within_one_pixel(
    seen: tuple[Size, View], data: st.DataObject
) -> None:
    original, view = seen
    region = shown_box(view, original).size
    assume(view.size.width <= region.width and view.size.height <= region.height)
    box = data.draw(boxes(view.size))
    back = to_view(to_original(box, view, original), view, original)
    assert back is not None
    edges = zip(_edges(box), _edges(back), strict=True)
    assert all(abs(edge - other) <= 1 for edge, other in edges)


@given(seen_pictures(), st.data())
def test_a_box_of_a_view_never_leaves_what_the_view_shows(seen: tuple[Size, View], data: st.DataObject) -> None:
    original, view = seen
    box = to_original(data.draw(boxes(view.size)), view, original)
    whole = Box(left=0, top=0, right=original.width, bottom=original.height)
    assert whole.contains(shown_box(view, original)) and shown_box(view, original).contains(box)


@given(seen_pictures())
def test_the_whole_of_a_view_is_the_region_that_it_shows(seen: tuple[Size, View]) -> None:
    original, view = seen
    whole = Box(left=0, top=0, right=view.size.width, bottom=view.size.height)
    assert to_original(whole, view, original) == shown_box(view, original)
    assert to_view(shown_box(view, original), view, original) == whole


@given(seen_pictures(), st.data())
def test_a_region_of_the_original_is_seen_inside_the_view_or_not_at_all(
    seen: tuple[Size, View], data: st.DataObject
) -> None:
    original, view = seen
    box = data.draw(boxes(original))
    found = to_view(box, view, original)
    region = shown_box(view, original)
    apart = min(box.right, region.right) <= max(box.left, region.left) or min(box.bottom, region.bottom) <= max(
        box.top, region.top
    )
    assert (found is None) is apart
    if found is not None:
        assert Box(left=0, top=0, right=view.size.width, bottom=view.size.height).contains(found)


@given(sizes(max_side=3000), view_rules(), st.data())
def test_a_grown_box_holds_the_box_and_is_as_large_as_the_picture_allows(
    original: Size, rule: ViewRule, data: st.DataObject
) -> None:
    box = data.draw(boxes(original))
    large = grown(box, original, rule)
    assert large.contains(box)
    assert Box(left=0, top=0, right=original.width, bottom=original.height).contains(large)
    assert large.size.width >= min(MIN_REGION_SIDE, original.width)
    assert large.size.height >= min(MIN_REGION_SIDE, original.height)
    assert large.size.aspect_ratio <= rule.max_aspect
    assert grown(large, original, rule) == large


@given(seen_pictures(), st.data())
def test_a_view_shows_every_part_of_itself_as_finely_as_itself(seen: tuple[Size, View], data: st.DataObject) -> None:
    original, view = seen
    box = to_original(data.draw(boxes(view.size)), view, original)
    scale = view_scale(view, original)
    assert shows(view, box, scale, original)
    assert not shows(view, box, 2 * scale, original)


def _sides(size: Size) -> tuple[int, int]:
    return size.width, size.height


def _edges(box: Box) -> tuple[int, int, int, int]:
    return box.left, box.top, box.right, box.bottom


@given(sizes(max_side=3000), st.floats(0.01, 100), view_rules(), st.data())
def test_region_views_lie_on_the_grid_within_the_cap(
    original: Size, zoom: float, rule: ViewRule, data: st.DataObject
) -> None:
    box = data.draw(boxes(original))
    assume(box.size.aspect_ratio <= MAX_ASPECT)
    size = region_view(original, box, rule, zoom).size
    assert size.width % rule.multiple == size.height % rule.multiple == 0
    assert size.pixels <= rule.max_pixels
    assert size.aspect_ratio <= MAX_ASPECT


def _random_sizes(num_sizes: int, seed: int) -> Iterator[Size]:
    """Sides spread evenly over their logarithm, so that icons, phone pictures and banners all come up."""
    chance = random.Random(seed)
    while num_sizes:
        width, height = (round(2 ** chance.uniform(3, 13)) for _ in range(2))
        if max(width, height) <= MAX_ASPECT * min(width, height):
            num_sizes -= 1
            yield Size(width=width, height=height)


def _processor() -> Qwen2VLImageProcessor:
    """Qwen2.5-VL's own image processor; its floor is lowered to one token, below which no view goes."""
    processor = Qwen2VLImageProcessor(patch_size=14, merge_size=MERGE, min_pixels=28**2, max_pixels=12_845_056)
    assert isinstance(processor, Qwen2VLImageProcessor)
    return processor


def _processor_tokens(processor: Qwen2VLImageProcessor, views: list[View]) -> list[int]:
    """Visual tokens that the real processor makes of pictures of these sizes."""
    pictures = [np.zeros((view.size.height, view.size.width, 3), dtype=np.uint8) for view in views]
    grids = processor(images=pictures, return_tensors="np", input_data_format="channels_last")["image_grid_thw"]
    return [int(np.prod(grid)) // MERGE**2 for grid in grids]


def test_processor_resize_leaves_every_view_of_2000_pictures_alone() -> None:
    rule = ViewRule()
    for original in _random_sizes(NUM_SIZES, seed=0):
        for view in (quarter_view(original, rule), full_view(original, rule)):
            height, width = smart_resize(
                view.size.height, view.size.width, factor=28, min_pixels=28**2, max_pixels=12_845_056
            )
            assert (width, height) == (view.size.width, view.size.height), original
            assert height * width // 28**2 == view.visual_tokens


def test_whole_processor_counts_our_tokens_for_2000_pictures() -> None:
    """The views are small ones, so that the whole processor, arrays and all, can run 4,000 times."""
    rule = ViewRule(max_pixels=168**2, min_pixels=56**2)
    views = [
        view
        for original in _random_sizes(NUM_SIZES, seed=1)
        for view in (quarter_view(original, rule), full_view(original, rule))
    ]
    processor = _processor()
    batches = (views[first : first + 100] for first in range(0, len(views), 100))
    got = [tokens for batch in batches for tokens in _processor_tokens(processor, batch)]
    assert got == [view.visual_tokens for view in views]
    assert len(set(got)) > 20  # Not one size over and over.


def test_whole_processor_counts_our_tokens_at_the_released_size() -> None:
    rule = ViewRule()
    views = [
        view
        for original in _random_sizes(40, seed=2)
        for view in (quarter_view(original, rule), full_view(original, rule))
    ]
    processor = _processor()
    assert [_processor_tokens(processor, [view])[0] for view in views] == [view.visual_tokens for view in views]
