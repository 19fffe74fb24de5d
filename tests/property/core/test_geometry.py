"""What holds of every view of every picture, and that the model's real processor agrees about its cost."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.property.core.strategies import MAX_ASPECT, sizes, view_rules
from transformers import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from visionthink.core import Box, Size, View, ViewRule, fitted, full_view, quarter_view, region_view, snapped
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


@given(sizes(max_side=3000), st.floats(0.01, 100), view_rules(), st.data())
def test_region_views_lie_on_the_grid_within_the_cap(
    original: Size, zoom: float, rule: ViewRule, data: st.DataObject
) -> None:
    left = data.draw(st.integers(0, original.width - 1))
    top = data.draw(st.integers(0, original.height - 1))
    box = Box(
        left=left,
        top=top,
        right=data.draw(st.integers(left + 1, original.width)),
        bottom=data.draw(st.integers(top + 1, original.height)),
    )
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
