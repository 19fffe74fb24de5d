"""Cutting views, and the files in which they travel."""

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.unit.made_picture import BLUE, RED, encoded, noise

from visionthink.core.geometry import Box, Size, View
from visionthink.picture import cut, decode, encode_png, encode_stored_png, size_of


def test_cut_gives_the_size_of_the_view() -> None:
    assert cut(noise(100, 60), View(size=Size(width=56, height=28))).size == (56, 28)


def test_cut_resamples_the_whole_original_with_lanczos() -> None:
    picture = noise(100, 60)
    want = picture.resize((56, 28), Image.Resampling.LANCZOS)
    assert cut(picture, View(size=Size(width=56, height=28))).tobytes() == want.tobytes()


def test_cut_twice_gives_the_same_bytes() -> None:
    data = encoded(noise(333, 211), "JPEG")
    view = View(size=Size(width=84, height=56), box=Box(left=13, top=7, right=201, bottom=190))
    assert encode_png(cut(decode(data), view)) == encode_png(cut(decode(data), view))


def test_cut_at_the_size_of_the_original_changes_no_pixel() -> None:
    picture = noise(56, 28)
    assert cut(picture, View(size=Size(width=56, height=28))).tobytes() == picture.tobytes()


def test_cut_shows_nothing_from_beside_the_box() -> None:
    picture = Image.new("RGB", (100, 100), RED)
    picture.paste(BLUE, (20, 30, 60, 90))
    view = View(size=Size(width=28, height=28), box=Box(left=20, top=30, right=60, bottom=90))
    assert cut(picture, view).getcolors() == [(28 * 28, BLUE)]


def test_cut_can_enlarge() -> None:
    view = View(size=Size(width=280, height=280), box=Box(left=0, top=0, right=3, bottom=3))
    assert cut(noise(10, 10), view).size == (280, 280)


def test_cut_refuses_a_box_that_reaches_out_of_the_picture() -> None:
    view = View(size=Size(width=28, height=28), box=Box(left=0, top=0, right=11, bottom=5))
    with pytest.raises(ValueError, match=r"box \(0, 0, 11, 5\) .* picture of 10x10"):
        cut(noise(10, 10), view)


def test_cut_refuses_a_picture_that_decode_did_not_make() -> None:
    with pytest.raises(ValueError, match="got mode RGBA"):
        cut(Image.new("RGBA", (10, 10)), View(size=Size(width=28, height=28)))


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    data=st.data(),
)
@settings(max_examples=60)
def test_cut_of_any_box_has_the_asked_size(size: tuple[int, int], target: tuple[int, int], data: st.DataObject) -> None:
    left = data.draw(st.integers(0, size[0] - 1))
    top = data.draw(st.integers(0, size[1] - 1))
    right = data.draw(st.integers(left + 1, size[0]))
    bottom = data.draw(st.integers(top + 1, size[1]))
    view = View(size=Size(width=target[0], height=target[1]), box=Box(left=left, top=top, right=right, bottom=bottom))
    assert cut(noise(*size), view).size == target


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 1000))
@settings(max_examples=50)
def test_png_round_trip_keeps_every_pixel(size: tuple[int, int], seed: int) -> None:
    picture = noise(*size, seed=seed)
    got = decode(encode_png(picture))
    assert (got.size, got.tobytes()) == (picture.size, picture.tobytes())


def test_png_holds_no_metadata() -> None:
    picture = noise(4, 4)
    plain = encode_png(picture)
    picture.info.update(icc_profile=b"profile", dpi=(300, 300), exif=b"Exif\x00\x00", comment="who made it")
    assert encode_png(picture) == plain


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 2**16))
def test_stored_png_round_trip_keeps_every_pixel(size: tuple[int, int], seed: int) -> None:
    image = Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))
    data = encode_stored_png(image)
    assert decode(data).tobytes() == image.tobytes()
    assert size_of(data) == Size(width=size[0], height=size[1])


def test_stored_png_of_many_blocks_is_read_by_pillow() -> None:
    """Stored data goes in blocks of 64 KiB."""
    image = Image.frombytes("RGB", (400, 300), random.Random(1).randbytes(400 * 300 * 3))
    with Image.open(io.BytesIO(encode_stored_png(image)), formats=("PNG",)) as found:
        assert (found.mode, found.size) == ("RGB", image.size)
        assert found.tobytes() == image.tobytes()


def test_stored_png_refuses_a_picture_that_decode_did_not_make() -> None:
    with pytest.raises(ValueError, match="got mode L"):
        encode_stored_png(Image.new("L", (2, 2)))
