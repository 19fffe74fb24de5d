"""The picture of a request, from its URL to its pixels.

Rule: limits stand before work. A picture's size is read off its header before a pixel is decoded, decoding happens in
few threads, and nothing is fetched but by `remote`, from hosts that the operator named.
"""

from typing import Final

from PIL import Image

from visionthink.data_url import data_url_bytes, is_data_url
from visionthink.errors import DataError
from visionthink.picture import PictureTooLargeError, decode, stated_pixels
from visionthink.serving.api_error import ApiError, bad_value
from visionthink.serving.conversation import SentPicture

_SHOWN_CHARS: Final = 16
BYTES_PER_PIXEL: Final = 4
"""What Pillow keeps of a pixel of RGB."""


def unpacked(picture: SentPicture, *, max_pixels: int) -> tuple[bytes, int]:
    """The encoded picture, and the pixels that its header states.

    Raises:
        ApiError: 400, it is no data URL, a broken one, or no picture; 413, it has more than `max_pixels`.
    """
    url = picture.url.url
    if not is_data_url(url):
        raise bad_value(
            f"the picture's URL starts with {url[:_SHOWN_CHARS]!r}; remote pictures are not fetched, send the picture "
            "itself as data:image/png;base64,...",
            param=picture.where,
        )
    try:
        data = data_url_bytes(url)
    except DataError as error:
        raise bad_value(str(error), param=picture.where) from error
    return data, pixels_of(data, max_pixels=max_pixels, where=picture.where)


def pixels_of(data: bytes, *, max_pixels: int, where: str) -> int:
    """The pixels that the picture's header states.

    Raises:
        ApiError: 413 for more than `max_pixels`, 400 for bytes that are no picture.
    """
    try:
        return stated_pixels(data, max_pixels=max_pixels)
    except DataError as error:
        raise _unfit(error, where) from error


def decoded(data: bytes, *, max_pixels: int, where: str) -> Image.Image:
    """The picture, upright and RGB.

    Raises:
        ApiError: 413 for more than `max_pixels`, 400 for bytes that are no picture.
    """
    try:
        return decode(data, max_pixels=max_pixels)
    except DataError as error:
        raise _unfit(error, where) from error


def _unfit(error: DataError, where: str) -> ApiError:
    if isinstance(error, PictureTooLargeError):
        return ApiError(413, str(error), code="picture_too_large", param=where)
    return ApiError(400, str(error), code="invalid_image", param=where)
