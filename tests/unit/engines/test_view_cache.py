"""What was made from a view is made once, and never for another picture."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from tests.unit.engines.conversation import noise, view

from visionthink.core.geometry import View
from visionthink.engines.view_cache import ViewCache

A, B = noise(10, 10, seed=1), noise(10, 10, seed=2)
SMALL, LARGE = view(28, 28), view(56, 56)


class Maker:
    """Makes 100 bytes a view and counts."""

    def __init__(self) -> None:
        self.made: list[tuple[int, View]] = []

    def __call__(self, picture: Image.Image, view: View) -> bytes:
        self.made.append((id(picture), view))
        return bytes(100)


def test_a_view_is_made_once() -> None:
    maker = Maker()
    cache = ViewCache(maker, size_bytes=len, max_bytes=10_000)
    assert not cache.has(A, SMALL)
    assert cache.get(A, SMALL) is cache.get(A, SMALL)
    assert len(maker.made) == 1
    assert cache.has(A, SMALL) and not cache.has(A, LARGE) and not cache.has(B, SMALL)


def test_equal_pixels_in_another_picture_are_another_entry() -> None:
    maker = Maker()
    cache = ViewCache(maker, size_bytes=len, max_bytes=10_000)
    for picture in (A, A.copy()):
        cache.get(picture, SMALL)
    assert len(maker.made) == 2


def test_the_entry_unused_for_longest_leaves_when_bytes_run_out() -> None:
    maker = Maker()
    cache = ViewCache(maker, size_bytes=len, max_bytes=250)
    for picture, wanted in ((A, SMALL), (A, LARGE), (A, SMALL), (B, SMALL), (A, SMALL)):
        cache.get(picture, wanted)
    assert len(maker.made) == 3 and cache.held_bytes == 200
    cache.get(A, LARGE)
    assert len(maker.made) == 4


def test_an_entry_larger_than_the_cache_is_not_kept() -> None:
    maker = Maker()
    cache = ViewCache(maker, size_bytes=len, max_bytes=99)
    cache.get(A, SMALL)
    cache.get(A, SMALL)
    assert len(maker.made) == 2 and cache.held_bytes == 0


def test_what_was_made_goes_with_its_picture() -> None:
    maker = Maker()
    cache = ViewCache(maker, size_bytes=len, max_bytes=10_000)
    cache.get(A, SMALL)
    for seed in range(50):
        picture = noise(10, 10, seed=seed)
        assert cache.get(picture, SMALL) is cache.get(picture, SMALL)
        cache.get(picture, LARGE)
        assert cache.held_bytes == 300
        del picture
        assert cache.held_bytes == 100
    assert len(maker.made) == 101, "an identity that was used again is another picture"


def test_pictures_that_end_in_other_threads_leave_nothing() -> None:
    def make(picture: Image.Image, view: View) -> bytes:
        cycle: list[object] = [picture.copy()]
        cycle.append(cycle)  # ends when the collector comes by, in whatever line that is
        cache_of_copies.get(picture.copy(), view)
        return bytes(view.size.width) + picture.tobytes()[:1]

    cache_of_copies = ViewCache(Maker(), size_bytes=len, max_bytes=1000)
    cache = ViewCache(make, size_bytes=len, max_bytes=1000)

    def ask(seed: int) -> bool:
        picture = noise(10, 10, seed=seed)
        return all(
            cache.get(picture, wanted) == bytes(wanted.size.width) + picture.tobytes()[:1] for wanted in (SMALL, LARGE)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))
    cache.get(A, SMALL), cache_of_copies.get(A, SMALL)  # whoever comes next drops what could not be dropped at once
    assert cache.held_bytes == 29 and cache_of_copies.held_bytes == 100


def test_what_is_being_made_is_waited_for() -> None:
    started, go, made = threading.Event(), threading.Event(), list[View]()

    def slow(picture: Image.Image, view: View) -> bytes:
        made.append(view)
        started.set()
        assert go.wait(10)
        return b"x"

    cache, picture, wanted = ViewCache(slow, size_bytes=len, max_bytes=10**6), noise(), view(56, 56)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, picture, wanted)
        assert started.wait(10)
        second = pool.submit(cache.get, picture, wanted)
        go.set()
        assert first.result(10) is second.result(10)
    assert len(made) == 1


def test_what_cannot_be_made_is_tried_again() -> None:
    tries = list[View]()

    def moody(picture: Image.Image, view: View) -> bytes:
        tries.append(view)
        if len(tries) == 1:
            raise ValueError("no")
        return b"yes"

    cache, picture = ViewCache(moody, size_bytes=len, max_bytes=10**6), noise()
    with pytest.raises(ValueError, match="no"):
        cache.get(picture, view(56, 56))
    assert cache.get(picture, view(56, 56)) == b"yes"
