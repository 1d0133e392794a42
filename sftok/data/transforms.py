"""From the bytes of an image file to pixels: decode, resize, crop.

Every file becomes 8-bit RGB: gray is repeated, a palette is looked up, PIL converts CMYK and YCbCr (ignoring
embedded color profiles), transparency is composited on white, an EXIF orientation is applied, and an
animation becomes its first frame. 16-bit gray is scaled from 0..65535 (PIL's own conversion clips it at 255),
and rejected if a TIFF declares another range; of 16-bit color, PIL's decoders keep the high byte.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Threads that decode must not find PIL's list of formats partly filled.
Image.init()

THREADS = min(16, os.cpu_count() or 1)
"""Number of images read and decoded at once."""

TRANSFORM = "rgb8, bicubic short side, centre crop, 1"
"""Identifies what `pixels` does in fingerprints; any change that affects a pixel must raise the number."""

EXTENSIONS = frozenset(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Extensions of image files, in lower case; case does not matter."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded; the content decides, so a PNG named .jpg is read."""


@dataclass(frozen=True)
class Crop:
    """A square of the resized image, possibly mirrored.

    Attributes:
        across: position among the possible squares from left to right, in [0, 1); None is the central one.
        down: the same from top to bottom.
        mirrored: whether left and right are swapped.
    """

    across: float | None = None
    down: float | None = None
    mirrored: bool = False


CENTER = Crop()


class UnreadableImageError(ValueError):
    """Content is not a complete image; the message gives the reason, as part of a longer line."""


def decode(content: bytes) -> Image.Image:
    """Decode the content of a file to an 8-bit RGB image (see the module).

    Raises:
        UnreadableImageError: the content is empty, truncated or damaged, its format or range of values is
            unknown (32-bit or floating point), or it is larger than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image)
            image.load()
            with contextlib.suppress(Exception):  # the image is good even if its EXIF block is damaged
                ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not one of the formats {', '.join(FORMATS)}") from None
    except Exception as error:  # damaged content can make PIL's decoders raise almost anything
        raise UnreadableImageError(" ".join(f"{type(error).__name__}: {error}".split())) from None


def resize_and_crop(image: Image.Image, size: int, crop: Crop = CENTER) -> Image.Image:
    """Resize the short side to `size` (bicubic, antialiased), then crop a square, by default the central one.

    Equivalent to torchvision's `Resize(size)` and `CenterCrop(size)` (or `RandomCrop(size)`) on a PIL image,
    except:
    - Rows are resized before columns. PIL used to do so always, but from version 13 it depends on the shape;
      as values are rounded and clipped in between, the pixels would depend on the version.
    - Nothing outside the crop is computed: resizing all of a very long image would exhaust the memory.
    """
    width, height = image.size
    if (width, height) == (size, size) and not crop.mirrored:
        return image  # the result of the code below, without its copies
    short = min(image.size)
    left, right = _taken(width, short, size, crop.across)
    top, bottom = _taken(height, short, size, crop.down)
    reach = 2 * max(1, short / size) + 1  # support of a bicubic kernel, in pixels of the image
    first, last = max(0, math.floor(top - reach)), min(height, math.ceil(bottom + reach))
    rows = image.crop((0, first, width, last))
    narrow = rows.resize((size, rows.height), Image.Resampling.BICUBIC, box=(left, 0, right, rows.height))
    square = narrow.resize((size, size), Image.Resampling.BICUBIC, box=(0, top - first, size, bottom - first))
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if crop.mirrored else square


def resize_short_side(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size` as `resize_and_crop` does, without the crop.

    Any crop that `resize_and_crop` takes from the result equals that of the original image.
    """
    short = min(image.size)
    width, height = (int(size * length / short) for length in image.size)
    narrow = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return narrow.resize((width, height), Image.Resampling.BICUBIC)


def _taken(length: int, short: int, size: int, place: float | None) -> tuple[float, float]:
    """Return start and end of the crop on a side of `length`, in pixels of the image before resizing."""
    scaled = int(size * length / short)
    slack = scaled - size
    start = round(slack / 2) if place is None else min(int(place * (slack + 1)), slack)
    return start * length / scaled, min((start + size) * length / scaled, length)


def pixels(content: bytes, size: int, crop: Crop = CENTER) -> np.ndarray:
    """Decode, resize and crop the content of a file: uint8 [size, size, 3].

    Raises:
        UnreadableImageError: as for `decode`.
    """
    return np.array(resize_and_crop(decode(content), size, crop))


def _check_size(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    width, height = image.size
    if limit is not None and width * height > limit:
        raise UnreadableImageError(f"{width} x {height} pixels exceed PIL's safety limit of {limit}")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _gray16_to_rgb(image)
    if image.mode == "F":
        raise UnreadableImageError("floating-point values have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray16_to_rgb(image: Image.Image) -> Image.Image:
    if image.format == "TIFF":
        _check_tiff_range(image.tag_v2)  # type: ignore[attr-defined]
    # PIL uses mode "I", which is 32 bits wide, also for 16-bit files.
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError("32-bit values have no known range")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _check_tiff_range(tags: Mapping[int, Any]) -> None:
    """Reject gray whose darkest and lightest values are not 0 and 65535, which PIL does not scale."""
    bits = tags.get(ExifTags.Base.BitsPerSample, (1,))[0]
    if bits != 16:
        raise UnreadableImageError(f"{bits}-bit gray; save it with 8 or 16 bits")
    if tags.get(ExifTags.Base.SampleFormat, (1,))[0] != 1:
        raise UnreadableImageError("signed values have no known range")
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        raise UnreadableImageError("16-bit gray whose zero is white; save it with a black zero")
