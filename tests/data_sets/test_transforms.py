from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from sftok.data.transforms import UnreadableImageError, decode, pixels, resize_and_crop

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options) -> np.ndarray:
    result = decode(encoded(image, kind, **options))
    assert result.mode == "RGB"
    return np.asarray(result)


LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("PPM", {}), ("TIFF", {})]


@pytest.mark.parametrize(("kind", "options"), [*LOSSLESS, ("TIFF", {"compression": "lzw"})])
def test_lossless_formats_are_exact(kind, options):
    assert np.array_equal(decoded(Image.fromarray(NOISE), kind, **options), NOISE)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_gray_is_repeated_and_a_palette_is_looked_up(kind):
    assert np.array_equal(decoded(Image.fromarray(NOISE[..., 0]), kind), np.repeat(NOISE[..., :1], 3, axis=2))
    bits = NOISE[..., 0] > 127
    assert np.array_equal(decoded(Image.fromarray(bits), kind)[..., 0], np.where(bits, 255, 0))
    image = Image.fromarray(NOISE).quantize(8)
    assert np.array_equal(decoded(image, kind), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_close(kind):
    smooth = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8)[:, None, None], (32, 32, 3))
    assert np.abs(decoded(Image.fromarray(smooth), kind, quality=95).astype(int) - smooth).max() < 8


def test_cmyk_is_converted_with_the_right_sign():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(decoded(red, kind).astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 40), (128, 147)])
def test_transparency_is_composited_on_white(alpha, expected):
    color = Image.new("RGBA", (4, 4), (40, 40, 40, alpha))
    gray = Image.new("LA", (4, 4), (40, alpha))
    for content in (encoded(color), encoded(gray), encoded(color, "WEBP", lossless=True)):
        assert np.abs(np.asarray(decode(content)).astype(int) - expected).max() <= 1


def test_a_transparent_color_becomes_white():
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert decoded(palette, transparency=0).min() == 255
    assert decoded(palette, transparency=1)[0, 0].tolist() == [10, 20, 30]
    assert decoded(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3)).min() == 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_and_not_clipped(kind):
    values = np.array([[0, 128, 129, 256], [257, 32768, 65406, 65535]], dtype=np.uint16)
    expected = np.round(values / 257).astype(np.uint8)
    assert np.array_equal(decoded(Image.fromarray(values), kind)[..., 0], expected)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({258: 12}, "12-bit gray; save it with 8 or 16 bits"),
        ({262: 0}, "16-bit gray whose zero is white"),
        ({339: 2}, "signed values have no known range"),
    ],
)
def test_16_bit_gray_of_another_range_is_refused(tags, reason):
    stream = io.BytesIO()
    values = np.array([[0, 1000], [2000, 3000]], dtype=np.uint16)
    Image.fromarray(values).save(stream, "TIFF", tiffinfo={339: 1})
    content = bytearray(stream.getvalue())
    for tag, value in tags.items():
        place = content.index(struct.pack("<HHI", tag, 3, 1)) + 8
        content[place : place + 2] = struct.pack("<H", value)
    with pytest.raises(UnreadableImageError, match=reason):
        decode(bytes(content))


def test_16_bit_netpbm_is_scaled():
    content = b"P5 2 1 65535\n" + np.array([32768, 65535], dtype=">u2").tobytes()
    assert np.asarray(decode(content))[0, :, 1].tolist() == [128, 255]


def test_16_bit_color_keeps_the_high_byte():
    row = b"\x00" + np.array([[0, 0x80FF, 0xFFFF]], dtype=">u2").tobytes()
    stream = io.BytesIO()
    stream.write(b"\x89PNG\r\n\x1a\n")
    header = (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    PngImagePlugin.putchunk(stream, b"IHDR", header)
    PngImagePlugin.putchunk(stream, b"IDAT", zlib.compress(row))
    PngImagePlugin.putchunk(stream, b"IEND", b"")
    assert np.asarray(decode(stream.getvalue()))[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_exif_orientation_is_applied_once(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
        lambda a: np.rot90(a, 2).swapaxes(0, 1),
        lambda a: np.rot90(a, 1),
    ][orientation - 1](NOISE)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decoded(Image.fromarray(NOISE), kind, exif=exif, **options), turned)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_change_the_image():
    for block in (b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00"):
        plain = decoded(Image.fromarray(NOISE), "JPEG")
        assert np.array_equal(decoded(Image.fromarray(NOISE), "JPEG", exif=block), plain)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(Image.fromarray(NOISE), "JPEG", exif=exif).shape == (16, 12, 3)


def test_an_animation_becomes_its_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 255, 0))]
    for kind in ("GIF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        result = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert result[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_truncated_file_is_unreadable(kind):
    content = encoded(Image.fromarray(np.tile(NOISE, (5, 4, 1))), kind)
    for length in (1, 10, len(content) // 2):
        with pytest.raises(UnreadableImageError) as caught:
            decode(content[:length])
        assert "\n" not in str(caught.value)
        assert "0x" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "not one of the formats BMP"),
        (encoded(Image.fromarray(NOISE), "ICO"), "not one of the formats"),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF"), "32-bit"),
    ],
)
def test_the_error_for_unreadable_content_gives_the_reason(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content)


def test_a_damaged_png_is_unreadable():
    content = bytearray(encoded(Image.fromarray(NOISE)))
    content[60] ^= 0xFF
    with pytest.raises(UnreadableImageError):
        decode(bytes(content))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("excess", [1.5, 3])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch, excess):
    bomb = encoded(Image.new("1", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 * 100 / excess))
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(UnreadableImageError, match=r"100 x 100|10000 pixels"):
        decode(bomb)


shapes = pytest.mark.parametrize(
    "shape", [(12, 16), (16, 12), (37, 101), (64, 64), (5, 9), (200, 33), (1, 1), (8, 8), (9, 8), (1, 30)]
)


@shapes
@pytest.mark.parametrize("size", [8, 13, 32])
def test_resize_and_crop_equals_a_full_resize_by_rows_then_columns(shape, size):
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    width, height = (int(size * side / min(image.size)) for side in image.size)
    rows = image.resize((width, image.height), Image.Resampling.BICUBIC)
    expected = CenterCrop(size)(rows.resize((width, height), Image.Resampling.BICUBIC))
    ours = np.asarray(resize_and_crop(image, size)).astype(int)
    assert ours.shape == (size, size, 3)
    assert np.abs(ours - np.asarray(expected).astype(int)).max() <= 1


@shapes
@pytest.mark.parametrize("size", [8, 13, 32])
def test_resize_and_crop_agrees_with_torchvision(shape, size):
    height, width = shape
    ramps = np.stack(np.meshgrid(np.linspace(20, 230, width), np.linspace(230, 20, height)), axis=-1)
    image = Image.fromarray(np.concatenate([ramps, ramps[..., :1] / 2], axis=-1).astype(np.uint8))
    expected = CenterCrop(size)(Resize(size, InterpolationMode.BICUBIC)(image))
    ours = np.asarray(resize_and_crop(image, size)).astype(int)
    assert np.abs(ours - np.asarray(expected).astype(int)).max() <= 1


def test_an_image_of_the_right_size_is_unchanged():
    square = NOISE[:12, :12]
    assert np.array_equal(pixels(encoded(Image.fromarray(square)), 12), square)


def test_a_very_long_image_takes_no_memory():
    for shape in ((20_000_000, 2), (2, 20_000_000)):
        long = Image.new("L", shape, 99)
        assert np.asarray(resize_and_crop(long, 64)).tolist() == np.full((64, 64), 99).tolist()
