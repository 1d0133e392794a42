"""From the bytes of an image file to pixels: decoding, resizing, and the crop.

Every file becomes 8-bit RGB: grey is repeated, a palette looked up, CMYK and YCbCr converted by PIL (embedded
colour profiles are ignored), transparency composited on white, an EXIF orientation applied, and of an
animation the first frame taken. 16-bit grey is scaled from 0..65535 (PIL's own conversion clips it at 255),
and refused where a TIFF says that its range is another; of 16-bit colour PIL's decoders keep the high byte.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

# Now, as threads that decode must not find the list of formats half filled.
Image.init()

TRANSFORM = "rgb8, bicubic short side, centre crop, 1"
"""Names what `pixels` does, for fingerprints; raise the number with any change that moves a pixel."""

EXTENSIONS = frozenset(
    f".{name}"
    for name in [
        "bmp",
        "gif",
        "jfif",
        "jpe",
        "jpeg",
        "jpg",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tif",
        "tiff",
        "webp",
    ]
)
"""A file is an image file if its name ends so, in any case."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What content is decoded; it is told by the content, so a PNG named .jpg is read."""

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Crop:
    """Which square of the resized image is taken, and whether it is mirrored.

    Attributes:
        across: in [0, 1), which of the possible squares from left to right; None is the central one.
        down: the same from top to bottom.
        mirrored: left and right change places.
    """

    across: float | None = None
    down: float | None = None
    mirrored: bool = False


CENTRE = Crop()


class UnreadableImageError(ValueError):
    """Content that is no complete image; the message says why, in part of a line."""


def decode(content: bytes) -> Image.Image:
    """The image in a file's content, as 8-bit RGB (see the module).

    Raises:
        UnreadableImageError: the content is empty, truncated, damaged, of an unknown format, of an unknown
            range of values (32-bit or floating point), or larger than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image)
            image.load()
            upright = _ORIENTATIONS.get(_orientation(image))
            rgb = _to_rgb(image)
            return rgb if upright is None else rgb.transpose(upright)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not one of the formats {', '.join(FORMATS)}") from None
    except Exception as error:  # damaged content makes PIL's decoders raise almost anything
        raise UnreadableImageError(" ".join(f"{type(error).__name__}: {error}".split())) from None


def resize_and_crop(image: Image.Image, size: int, crop: Crop = CENTRE) -> Image.Image:
    """Bicubic resize (with antialiasing) of the short side to `size`, then a square, by default the central.

    What torchvision's `Resize(size)` and `CenterCrop(size)` (or `RandomCrop(size)`) do to a PIL image, except
    that
    - rows are resized before columns. PIL did so always, but from version 13 on chooses by the shape; as
      values are rounded and clipped in between, the pixels would depend on the version;
    - nothing is computed that the crop would drop: of a very long image it would fill the memory.
    """
    width, height = image.size
    short = min(image.size)
    left, right = _taken(width, short, size, crop.across)
    top, bottom = _taken(height, short, size, crop.down)
    reach = 2 * max(1, short / size) + 1  # of a bicubic kernel, in pixels of the image
    first, last = max(0, math.floor(top - reach)), min(height, math.ceil(bottom + reach))
    rows = image.crop((0, first, width, last))
    narrow = rows.resize((size, rows.height), Image.Resampling.BICUBIC, box=(left, 0, right, rows.height))
    square = narrow.resize((size, size), Image.Resampling.BICUBIC, box=(0, top - first, size, bottom - first))
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if crop.mirrored else square


def resize_short_side(image: Image.Image, size: int) -> Image.Image:
    """The whole of the image with its short side resized to `size`, as `resize_and_crop` does it.

    So any square that `resize_and_crop` takes out of the result is that of the image itself.
    """
    short = min(image.size)
    width, height = (int(size * length / short) for length in image.size)
    narrow = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return narrow.resize((width, height), Image.Resampling.BICUBIC)


def _taken(length: int, short: int, size: int, place: float | None) -> tuple[float, float]:
    """Where the crop begins and ends on a side of `length`, in pixels of the image before it is resized."""
    scaled = int(size * length / short)
    slack = scaled - size
    start = round(slack / 2) if place is None else min(int(place * (slack + 1)), slack)
    return start * length / scaled, min((start + size) * length / scaled, length)


def pixels(content: bytes, size: int, crop: Crop = CENTRE) -> np.ndarray:
    """The pixels of a file's content: uint8 [size, size, 3].

    Raises:
        UnreadableImageError: as `decode`.
    """
    return np.array(resize_and_crop(decode(content), size, crop))


def _check_size(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    width, height = image.size
    if limit is not None and width * height > limit:
        raise UnreadableImageError(f"{width} x {height} pixels are above PIL's safety limit of {limit}")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block leaves a good image as it is
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey16_to_rgb(image)
    if image.mode == "F":
        raise UnreadableImageError("floating-point values have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    if image.format == "TIFF":
        _check_tiff_range(image.tag_v2)  # type: ignore[attr-defined]
    # Mode "I" is 32 bits wide, but PIL also uses it for 16-bit files.
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError("32-bit values have no known range")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _check_tiff_range(tags: Mapping[int, Any]) -> None:
    """Refuse grey whose darkest and lightest value are not 0 and 65535: PIL hands it on as if they were."""
    bits = tags.get(ExifTags.Base.BitsPerSample, (1,))[0]
    if bits != 16:
        raise UnreadableImageError(f"{bits}-bit grey; save it with 8 or 16 bits")
    if tags.get(ExifTags.Base.SampleFormat, (1,))[0] != 1:
        raise UnreadableImageError("signed values have no known range")
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        raise UnreadableImageError("16-bit grey whose zero is white; save it with a black zero")
