import io
import random

import pytest
from PIL import Image

from visionthink.core.geometry import Box, Size, View, ViewRule, full_view, quarter_view
from visionthink.picture import cut
from visionthink.report import ShownBox, shown_views
from visionthink.report.shown_view import MAX_SHOWN_SIDE, packed


def noise(width: int, height: int) -> Image.Image:
    """The picture that weighs most."""
    return Image.frombytes("RGB", (width, height), random.Random(0).randbytes(3 * width * height))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_small_view_is_shown_as_the_model_got_it() -> None:
    picture = noise(112, 112)
    view = quarter_view(Size(width=112, height=112), ViewRule(max_pixels=112**2, min_pixels=112**2))
    (shown,) = shown_views([(view, 1)], picture)
    assert (shown.media_type, shown.width, shown.height, shown.visual_tokens) == ("image/png", 56, 56, 4)
    assert opened(shown.data).tobytes() == cut(picture, view).tobytes()


def test_large_view_is_shown_smaller_and_says_what_the_model_got() -> None:
    original = Size(width=2240, height=1120)
    view = full_view(original, ViewRule(max_pixels=2048**2, min_pixels=28**2))
    (shown,) = shown_views([(view, 1)], Image.new("RGB", (2240, 1120), "red"))
    assert (shown.width, shown.height, shown.visual_tokens) == (2240, 1120, 3200)
    assert opened(shown.data).size == (MAX_SHOWN_SIDE, MAX_SHOWN_SIDE // 2)


def test_large_view_is_packed_in_the_way_that_weighs_less() -> None:
    flat, busy = Image.new("RGB", (700, 700), "white"), noise(700, 700)
    for picture, want in ((flat, "image/png"), (busy, "image/jpeg")):
        data, media_type = packed(picture)
        assert media_type == want and f"image/{str(opened(data).format).lower()}" == want


@pytest.mark.parametrize("max_bytes", [300_000, 50_000, 8_000])
def test_packed_picture_weighs_no_more_than_it_may(max_bytes: int) -> None:
    data, _ = packed(noise(1600, 1600), max_bytes)
    assert len(data) <= max_bytes
    assert max(opened(data).size) in (768, 512, 384, 256, 128, 64)


def test_packed_picture_stays_one_that_can_be_seen() -> None:
    assert opened(packed(noise(640, 480), 10)[0]).size == (64, 48)


def test_region_is_drawn_on_the_first_view_of_the_whole_picture() -> None:
    whole, part = (
        View(size=Size(width=56, height=56)),
        View(size=Size(width=84, height=56), box=Box(left=50, top=20, right=110, bottom=60)),
    )
    first, second, third, last = shown_views([(whole, 1), (part, 2), (whole, 3), (part, 4)], noise(200, 100))
    assert first.boxes == tuple(
        ShownBox(left=0.25, top=0.2, width=0.3, height=0.4, label=label) for label in ("turn 2", "turn 4")
    )
    assert second.boxes == third.boxes == last.boxes == ()
    assert (first.note, second.note) == ("", "(50, 20) to (110, 60) of the original")
