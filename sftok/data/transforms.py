"""From the bytes of an image file to pixels: decoding, and the one fixed resize and crop.

Every file becomes 8-bit RGB: grey is repeated, a palette looked up, CMYK and YCbCr converted by PIL (embedded
colour profiles are ignored), transparency composited on white, an EXIF orientation applied, and of an
animation the first frame taken. 16-bit grey is scaled from 0..65535 (PIL's own conversion clips it at 255);
of 16-bit colour PIL's decoders keep the high byte.
"""

from __future__ import annotations

import io
import math

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


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Bicubic resize (with antialiasing) of the short side to `size`, then the central square.

    What torchvision's `Resize(size)` and `CenterCrop(size)` do to a PIL image, except that
    - rows are resized before columns. PIL did so always, but from version 13 on chooses by the shape; as
      values are rounded and clipped in between, the pixels would depend on the version;
    - nothing is computed that the crop would drop: of a very long image it would fill the memory.
    """
    width, height = image.size
    short = min(image.size)
    left, right = _central(width, short, size)
    top, bottom = _central(height, short, size)
    reach = 2 * max(1, short / size) + 1  # of a bicubic kernel, in pixels of the image
    first, last = max(0, math.floor(top - reach)), min(height, math.ceil(bottom + reach))
    rows = image.crop((0, first, width, last))
    narrow = rows.resize((size, rows.height), Image.Resampling.BICUBIC, box=(left, 0, right, rows.height))
    return narrow.resize((size, size), Image.Resampling.BICUBIC, box=(0, top - first, size, bottom - first))


def _central(length: int, short: int, size: int) -> tuple[float, float]:
    """Where the crop begins and ends on a side of `length`, in pixels of the image before it is resized."""
    scaled = int(size * length / short)
    start = round((scaled - size) / 2)
    return start * length / scaled, min((start + size) * length / scaled, length)


def pixels(content: bytes, size: int) -> np.ndarray:
    """The pixels of a file's content: uint8 [size, size, 3].

    Raises:
        UnreadableImageError: as `decode`.
    """
    return np.array(resize_and_crop(decode(content), size))


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
    # Mode "I" is 32 bits wide, but PIL also uses it for 16-bit files.
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError("32-bit values have no known range")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
