"""Views for the report: the pixels that the model got, in a page that can still be sent around.

Rule: the pictures are the views that the model was given, cut again by the one function that cuts them for the model.
What they weigh is bounded, each and all together, however large the views and however many the turns are.
"""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image

from visionthink.core.geometry import Box, View
from visionthink.picture import cut, encode_png
from visionthink.report.record import ShownBox, ShownView

MAX_SHOWN_SIDE: Final = 768
"""Pixels of the longer side in the report: a larger view is shown smaller, or the file would weigh megabytes."""
MAX_BYTES: Final = 256 * 1024
"""Of one view."""
_SIDES: Final = (MAX_SHOWN_SIDE, 512, 384, 256, 128, 64)
_SMALL: Final = 256
"""Pixels of a side up to which a view is shown without loss: single pixels can be told apart in it."""
_QUALITY: Final = 85
"""Of a JPEG: Pillow's usual 75 smears small print."""


def shown_views(
    views: Sequence[tuple[View, int]], picture: Image.Image, *, max_bytes: int = MAX_BYTES
) -> list[ShownView]:
    """Return the views of one episode, each given with the number of the turn that it was shown in.

    `picture` is the decoded original. The regions that were shown are drawn as boxes on the first view of all of it.
    """
    whole = next((place for place, (view, _) in enumerate(views) if view.box is None), None)
    boxes = tuple(_shown_box(view.box, f"turn {turn}", picture) for view, turn in views if view.box is not None)
    return [_shown(view, picture, boxes if place == whole else (), max_bytes) for place, (view, _) in enumerate(views)]


def _shown(view: View, picture: Image.Image, boxes: tuple[ShownBox, ...], max_bytes: int) -> ShownView:
    data, media_type = packed(cut(picture, view), max_bytes)
    box = view.box
    note = "" if box is None else f"({box.left}, {box.top}) to ({box.right}, {box.bottom}) of the original"
    return ShownView(
        data=data,
        media_type=media_type,
        width=view.size.width,
        height=view.size.height,
        visual_tokens=view.visual_tokens,
        note=note,
        boxes=boxes,
    )


def _shown_box(box: Box, label: str, picture: Image.Image) -> ShownBox:
    return ShownBox(
        left=box.left / picture.width,
        top=box.top / picture.height,
        width=box.size.width / picture.width,
        height=box.size.height / picture.height,
        label=label,
    )


def packed(picture: Image.Image, max_bytes: int = MAX_BYTES) -> tuple[bytes, str]:
    """Return the picture encoded and its media type: PNG, or JPEG where that is smaller and the picture is not small.

    It is shrunk until it weighs no more than `max_bytes`, or is 64 pixels wide or high.
    """
    tries = (_encoded(picture, side, max_bytes) for side in _SIDES)
    return next((found for found in tries if len(found[0]) <= max_bytes), None) or _encoded(picture, _SIDES[-1], 0)


def _encoded(picture: Image.Image, side: int, max_bytes: int) -> tuple[bytes, str]:
    """The picture with sides of `side` pixels at most, without loss where it is small and light."""
    seen = picture.copy()
    seen.thumbnail((side, side))
    png = encode_png(seen)
    if max(seen.size) > _SMALL or len(png) > max_bytes:
        jpeg = _encode_jpeg(seen)
        if len(jpeg) < len(png):
            return jpeg, "image/jpeg"
    return png, "image/png"


def _encode_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()
