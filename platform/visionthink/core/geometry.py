"""How big a view of a picture is, and how many visual tokens it costs.

Rule: this is the one place that decides a size, or says which part of a picture a pixel of a view shows. Labelling,
training, evaluation and serving cut the views that are computed here, so a view costs the same number of tokens
everywhere. Sizes come in as values; no picture is opened.

A picture goes through three steps (fact: released ``process_image``; rounding made explicit as in its forks):

1. ``fitted``: scaled down to ``max_pixels`` or up to ``min_pixels``, aspect kept, both sides cut to whole pixels.
2. shrunk, for the first look only: both fitted sides are integer-divided by ``shrink``.
3. ``snapped``: each side goes to the nearest multiple of ``multiple``, since one visual token covers one
   ``multiple`` x ``multiple`` square. The result is a fixed point of the resize of Qwen2.5-VL's own processor as long
   as it lies within that processor's pixel bounds, so the processor never resizes a second time.
"""

import math
from dataclasses import dataclass

from visionthink.errors import ConfigError, DataError

TOKEN_SIDE = 28
"""Pixels of one visual token's side in Qwen2.5-VL: patches of 14, merged 2 x 2."""

MIN_REGION_SIDE = 2 * TOKEN_SIDE
"""Pixels that ``grown`` leaves no side of a region below: of fewer than 56 x 56 pixels Qwen2.5-VL's processor makes a
larger picture, whose tokens would not be those counted here."""

_AS_FINE_RATIO = 0.9
"""A view at this share of a scale shows as much: rounding to whole tokens alone moves a scale by some percent."""

_SWAPPING_ORIENTATIONS = frozenset({5, 6, 7, 8})
"""EXIF orientations that turn a picture by a quarter (EXIF 2.32, tag 0x0112)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse a size without pixels."""
        if self.width < 1 or self.height < 1:
            raise DataError(f"a picture of {self.width} x {self.height} pixels has no content; leave it out")

    @property
    def pixels(self) -> int:
        """Area in pixels."""
        return self.width * self.height

    @property
    def aspect_ratio(self) -> float:
        """Long side divided by short side, >= 1."""
        return max(self.width, self.height) / min(self.width, self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A region in pixels of the oriented original, or of a view; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        """Refuse a box that is empty or starts outside the picture."""
        if self.left < 0 or self.top < 0 or self.right <= self.left or self.bottom <= self.top:
            raise DataError(
                f"box ({self.left}, {self.top}, {self.right}, {self.bottom}) is empty or negative; "
                "give left < right and top < bottom, from 0"
            )

    @property
    def size(self) -> Size:
        """Sides of the region."""
        return Size(width=self.right - self.left, height=self.bottom - self.top)

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom

    def contains(self, other: "Box") -> bool:
        """Whether ``other`` reaches out of it nowhere."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRule:
    """The numbers that turn a picture's size into view sizes.

    The defaults are those of the released training code; a world of small pictures lowers both pixel bounds.
    """

    multiple: int = TOKEN_SIDE
    """Pixels that every side of a view is a multiple of."""
    max_pixels: int = 2048**2
    """No view has more pixels than this."""
    min_pixels: int = 512**2
    """A smaller original is scaled up to this before views are made. 1 switches that off."""
    shrink: int = 2
    """The first look's sides are the fitted sides divided by this: 2 is a quarter of the pixels, 4 a sixteenth."""
    max_aspect: int = 200
    """Longest allowed ratio of long to short side. Source: the processor refuses more than 200."""

    def __post_init__(self) -> None:
        """Refuse numbers that no view can satisfy."""
        if min(self.multiple, self.min_pixels, self.shrink, self.max_aspect) < 1:
            raise ConfigError(f"multiple, min_pixels, shrink and max_aspect must be at least 1, got {self}")
        if self.max_pixels < max(self.min_pixels, self.multiple**2):
            raise ConfigError(
                f"max_pixels {self.max_pixels} is below min_pixels {self.min_pixels} or below one visual token "
                f"of {self.multiple} x {self.multiple}; raise it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A picture, or a region of it, at the size at which the model sees it."""

    size: Size
    box: Box | None = None
    """Region of the oriented original that is shown; ``None`` shows the whole picture."""
    multiple: int = TOKEN_SIDE
    """Side of one visual token in pixels."""
    picture: int = 0
    """Which of the question's pictures it is a view of, from 0."""

    @property
    def visual_tokens(self) -> int:
        """Visual tokens that the model's processor makes of this view."""
        return visual_tokens(self.size, self.multiple)


def visual_tokens(size: Size, multiple: int = TOKEN_SIDE) -> int:
    """Number of visual tokens of a view of ``size``.

    Raises:
        DataError: a side is not a multiple of ``multiple``, so the size is no view's size.
    """
    if size.width % multiple or size.height % multiple:
        raise DataError(f"{size.width} x {size.height} is not a multiple of {multiple} on both sides; snap it first")
    return (size.width // multiple) * (size.height // multiple)


def oriented(size: Size, exif_orientation: int) -> Size:
    """Size of the picture once its EXIF orientation is applied.

    Values outside 1..8 leave it as it is, as viewers do with a broken tag.
    """
    if exif_orientation in _SWAPPING_ORIENTATIONS:
        return Size(width=size.height, height=size.width)
    return size


def fitted(original: Size, rule: ViewRule) -> Size:
    """Scale ``original`` into the rule's pixel bounds, aspect kept, sides cut to whole pixels.

    Raises:
        DataError: the picture is narrower than the rule's ``max_aspect`` allows.
    """
    if original.aspect_ratio > rule.max_aspect:
        raise DataError(
            f"a picture of {original.width} x {original.height} pixels is longer than {rule.max_aspect} times its "
            "short side, which the model's processor refuses; crop it or leave it out"
        )
    if original.pixels > rule.max_pixels:
        return _scaled(original, math.sqrt(rule.max_pixels / original.pixels))
    if original.pixels < rule.min_pixels:
        return _scaled(original, math.sqrt(rule.min_pixels / original.pixels))
    return original


def snapped(size: Size, rule: ViewRule) -> Size:
    """Nearest size whose sides are multiples of ``rule.multiple``, within ``max_pixels`` and ``max_aspect``.

    Sides are rounded half to even, as the processor does. A result above ``max_pixels`` is rounded down instead, and
    the long side of a sliver is cut to what ``max_aspect`` and ``max_pixels`` leave it. Snapping twice changes nothing.
    """
    unit = rule.multiple
    width, height = (max(1, round(side / unit)) for side in (size.width, size.height))
    max_tokens = rule.max_pixels // unit**2
    if width * height > max_tokens:
        within = _scaled(size, min(1.0, math.sqrt(rule.max_pixels / size.pixels)))
        width, height = max(1, within.width // unit), max(1, within.height // unit)
    longest = min(max_tokens // min(width, height), rule.max_aspect * min(width, height))
    return Size(width=min(width, longest) * unit, height=min(height, longest) * unit)


def full_view(original: Size, rule: ViewRule) -> View:
    """The whole picture at its fitted size: the most pixels that the rule grants.

    Raises:
        DataError: see ``fitted``.
    """
    return View(size=snapped(fitted(original, rule), rule), multiple=rule.multiple)


def quarter_view(original: Size, rule: ViewRule) -> View:
    """The whole picture at ``1 / shrink`` of its fitted sides: the cheap first look.

    With the default ``shrink`` of 2 it has a quarter of the full view's pixels, up to rounding.

    Raises:
        DataError: see ``fitted``.
    """
    return enlarged_view(original, rule, factor=1)


def enlarged_view(original: Size, rule: ViewRule, factor: int) -> View:
    """The whole picture at ``factor`` times the sides of the first look, at most the full view.

    Raises:
        DataError: see ``fitted``, or ``factor`` is below 1.
    """
    if factor < 1:
        raise DataError(f"a view cannot have {factor} times the sides of the first look; give 1 or more")
    whole, factor = fitted(original, rule), min(factor, rule.shrink)
    sides = [max(1, side * factor // rule.shrink) for side in (whole.width, whole.height)]
    return View(size=snapped(Size(width=sides[0], height=sides[1]), rule), multiple=rule.multiple)


def region_view(original: Size, box: Box, rule: ViewRule, zoom: float = 1.0) -> View:
    """A region of the original at ``zoom`` view pixels per original pixel along a side.

    Capped by ``max_pixels``; ``min_pixels`` does not apply, because a small crop is meant to be cheap.

    Raises:
        DataError: the box leaves the picture, is a sliver, or ``zoom`` is not a positive finite number.
    """
    if box.right > original.width or box.bottom > original.height:
        raise DataError(
            f"box ({box.left}, {box.top}, {box.right}, {box.bottom}) leaves the picture of "
            f"{original.width} x {original.height} pixels; keep it inside"
        )
    if not 0 < zoom < math.inf:
        raise DataError(f"zoom must be a positive number, got {zoom}")
    region = box.size
    if region.aspect_ratio > rule.max_aspect:
        raise DataError(
            f"a region of {region.width} x {region.height} pixels is longer than {rule.max_aspect} times its short "
            "side; widen it"
        )
    scale = min(zoom, math.sqrt(rule.max_pixels / region.pixels))
    return View(size=snapped(_scaled(region, scale), rule), box=box, multiple=rule.multiple)


def grown(box: Box, original: Size, rule: ViewRule) -> Box:
    """``box``, widened around its middle where it is smaller than a region may be, and pushed back into the picture.

    Then no side is below ``MIN_REGION_SIDE`` or a ``max_aspect``-th of the other, as far as the picture has so many
    pixels. A box that is large enough stays as it is.
    """
    width, height = box.size.width, box.size.height
    left, right = _widened(box.left, box.right, original.width, max(MIN_REGION_SIDE, -(-height // rule.max_aspect)))
    top, bottom = _widened(box.top, box.bottom, original.height, max(MIN_REGION_SIDE, -(-width // rule.max_aspect)))
    return Box(left=left, top=top, right=right, bottom=bottom)


def shown_box(view: View, original: Size) -> Box:
    """The region of the original that ``view`` shows."""
    return view.box or Box(left=0, top=0, right=original.width, bottom=original.height)


def to_original(box: Box, view: View, original: Size) -> Box:
    """The region of the original behind ``box``, which is given in the pixels of ``view``.

    Edges are rounded outwards, so that nothing of the box is lost, and never leave what the view shows.

    Raises:
        DataError: the box leaves the view.
    """
    size, region = view.size, shown_box(view, original)
    if not Box(left=0, top=0, right=size.width, bottom=size.height).contains(box):
        raise DataError(
            f"box ({box.left}, {box.top}, {box.right}, {box.bottom}) leaves the view of "
            f"{size.width} x {size.height} pixels; keep it inside"
        )
    left, right = _rescaled((box.left, box.right), size.width, region.size.width)
    top, bottom = _rescaled((box.top, box.bottom), size.height, region.size.height)
    return Box(left=region.left + left, top=region.top + top, right=region.left + right, bottom=region.top + bottom)


def to_view(box: Box, view: View, original: Size) -> Box | None:
    """Where ``box`` of the original is seen in ``view``, in the view's pixels; ``None`` where it is not in it at all.

    Undoes ``to_original`` within a pixel of the coarser of the two. What lies beside the view is cut off.
    """
    size, region = view.size, shown_box(view, original)
    left, right = max(box.left, region.left), min(box.right, region.right)
    top, bottom = max(box.top, region.top), min(box.bottom, region.bottom)
    if left >= right or top >= bottom:
        return None
    left, right = _rescaled((left - region.left, right - region.left), region.size.width, size.width)
    top, bottom = _rescaled((top - region.top, bottom - region.top), region.size.height, size.height)
    return Box(left=left, top=top, right=right, bottom=bottom)


def view_scale(view: View, original: Size) -> float:
    """Pixels of the view per pixel of the original, along a side."""
    return math.sqrt(view.size.pixels / shown_box(view, original).size.pixels)


def shows(view: View, box: Box, scale: float, original: Size) -> bool:
    """Whether ``view`` holds all of ``box`` (of the original) at ``scale`` or finer, up to the rounding of views."""
    return shown_box(view, original).contains(box) and view_scale(view, original) >= _AS_FINE_RATIO * scale


def _rescaled(edges: tuple[int, int], from_side: int, to_side: int) -> tuple[int, int]:
    """Both edges of a span on another grid, rounded outwards; whole numbers, so a whole side stays a whole side."""
    low, high = edges
    return low * to_side // from_side, -(-high * to_side // from_side)


def _widened(low: int, high: int, side: int, floor: int) -> tuple[int, int]:
    length = min(side, max(high - low, floor))
    start = min(max(0, low - (length - (high - low)) // 2), side - length)
    return start, start + length


def _scaled(size: Size, scale: float) -> Size:
    return Size(width=max(1, int(size.width * scale)), height=max(1, int(size.height * scale)))
