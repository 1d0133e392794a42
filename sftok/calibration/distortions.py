"""Image distortions whose order of severity is known by construction.

Codes are replaced in a growing share of the positions. The shares are nested: a code that is wrong at one
strength is wrong at all higher ones. Pixels are blurred, compressed, shifted, ... by a growing amount, with
the same draws at every strength. Strengths are relative to the image's side, so they apply to any data set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.quantizers.base import squared_distances


@dataclass(frozen=True)
class Source:
    """A batch to be distorted.

    Attributes:
        teacher: decodes codes.
        images: float32 `[B, 3, H, W]` in [0, 1], the teacher's reconstructions.
        codes: int64 `[B, N]`, the teacher's codes of the images.
        same_class: int64 `[B, N]`, the codes of another image of the same class.
        other_class: int64 `[B, N]`, the codes of an image of another class.
    """

    teacher: MaskGITVQGAN
    images: Tensor
    codes: Tensor
    same_class: Tensor
    other_class: Tensor


Distort = Callable[[Source, float, torch.Generator], Tensor]
"""Maps a source, a strength and random draws to images `[B, 3, H, W]`."""


@dataclass(frozen=True)
class Distortion:
    """A distortion; `sftok.calibration.report.LABELS` describes each in words."""

    strengths: tuple[float, ...]
    """Increasing; the first one already distorts."""
    apply: Distort


def _replacing(codes_of: Callable[[Source, torch.Generator], Tensor]) -> Distort:
    """Replace a share of the codes with others."""

    def apply(source: Source, strength: float, generator: torch.Generator) -> Tensor:
        draws = torch.rand(source.codes.shape, generator=generator)
        # A rank rather than a threshold gives every image the same number of wrong codes.
        chosen = draws.argsort(1).argsort(1) < round(strength * source.codes.shape[1])
        others = codes_of(source, generator)
        return source.teacher.decode(torch.where(chosen.to(source.codes.device), others, source.codes))

    return apply


def _random(source: Source, generator: torch.Generator) -> Tensor:
    """Any other code."""
    size = source.teacher.codebook_size
    steps = torch.randint(1, size, source.codes.shape, generator=generator)
    return (source.codes + steps.to(source.codes.device)) % size


def _nearest(source: Source, generator: torch.Generator) -> Tensor:
    """The other code with the most similar embedding."""
    codebook = source.teacher.pixel_decoder.codebook
    distances = squared_distances(codebook, codebook)
    return distances.fill_diagonal_(torch.inf).argmin(1)[source.codes]


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Blur images `[B, 3, H, W]` with a Gaussian whose standard deviation is `sigma` times their side."""
    deviation = sigma * images.shape[-1]
    # A kernel of three deviations on each side is enough; it may not exceed the image.
    radius = min(max(1, round(3 * deviation)), images.shape[-1] // 2 - 1)
    return gaussian_blur(images, [2 * radius + 1] * 2, [deviation] * 2)


def _blur(source: Source, strength: float, generator: torch.Generator) -> Tensor:
    return blurred(source.images, strength)


def _jpeg(source: Source, strength: float, generator: torch.Generator) -> Tensor:
    pixels = (source.images.cpu() * 255).round().byte()
    decoded = [decode_jpeg(encode_jpeg(each, round(100 - strength))) for each in pixels]
    return torch.stack(decoded).to(source.images.device) / 255


def _noise(source: Source, strength: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(source.images.shape, generator=generator)
    return source.images + strength * noise.to(source.images.device)


def _shift(source: Source, strength: float, generator: torch.Generator) -> Tensor:
    """Shift each image left, right, up or down; the border is repeated."""
    images, pixels = source.images, max(1, round(strength * source.images.shape[-1]))
    side = images.shape[-1]
    padded = F.pad(images, [pixels] * 4, mode="replicate")
    corners = torch.tensor([(0, 1), (2, 1), (1, 0), (1, 2)])
    where = pixels * corners[torch.randint(4, (len(images),), generator=generator)]
    crops = (
        image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, where.tolist(), strict=True)
    )
    return torch.stack(list(crops))


def _contrast(source: Source, strength: float, generator: torch.Generator) -> Tensor:
    mean = source.images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (1 - strength) * (source.images - mean)


_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5)
"""Shares of the codes; at most half, since an image with all codes of another image is a real image again."""

DISTORTIONS: Mapping[str, Distortion] = {
    "random_codes": Distortion(_SHARES, _replacing(_random)),
    "nearest_codes": Distortion(_SHARES, _replacing(_nearest)),
    "same_class": Distortion(_SHARES, _replacing(lambda source, _: source.same_class)),
    "other_class": Distortion(_SHARES, _replacing(lambda source, _: source.other_class)),
    "blur": Distortion((0.015, 0.022, 0.032, 0.045, 0.06), _blur),
    "jpeg": Distortion((40.0, 60.0, 75.0, 85.0, 92.0), _jpeg),
    "noise": Distortion((0.02, 0.04, 0.08, 0.16, 0.3), _noise),
    "shift": Distortion((0.036, 0.072, 0.108, 0.143, 0.179), _shift),
    "contrast": Distortion((0.1, 0.2, 0.35, 0.5, 0.7), _contrast),
}

WRONG = {"same_class": 0.2, "other_class": 0.2}
"""Shares of wrong codes in the sharp images that are compared with blur at the same squared error.

A share is halved until such a blur exists: a few codes of a photograph can change it more than any blur does.
"""

MIXED = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of sharp but wrong images among blurred but correct ones."""


def matching_blur(images: Tensor, squared_error: float) -> float | None:
    """The blur, as a standard deviation in image sides, that changes images by the given mean squared error.

    None if even a blur over a quarter of the image changes them less.
    """
    low, high = 0.0, 0.25
    if (blurred(images, high) - images).square().mean() < squared_error:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        # A kernel narrower than a hundredth of a pixel leaves the image unchanged.
        error = (blurred(images, max(middle, 1e-4)) - images).square().mean()
        low, high = (middle, high) if error < squared_error else (low, middle)
    return high
