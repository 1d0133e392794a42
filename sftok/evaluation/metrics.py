"""Metrics of reconstructions as `update / merge / compute`: any split and order of the data agree.

Those on features of a network are in `fidelity`, LPIPS is in `perceptual`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from sftok.evaluation.extractors import Features

Input = TypeVar("Input", contravariant=True)

_LUMA = (0.299, 0.587, 0.114)
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


class Featured(Protocol):
    """A batch of images of which features are known."""

    @property
    def features(self) -> Mapping[str, Features]:
        """Of the images truncated to uint8, by extractor label."""


@dataclass(frozen=True, kw_only=True)
class Reconstructions:
    """A batch of images and what became of them.

    Attributes:
        originals: float32 `[B, 3, H, W]` in [0, 1].
        images: float32 `[B, 3, H, W]` in [0, 1], the reconstructions.
        codes: int64 `[B, N]`, the teacher codes that the reconstructions were decoded from, if they were.
        teacher_codes: int64 `[B, N]`, what the teacher says of the originals, if there is one.
        features: of the reconstructions truncated to uint8, by extractor label.
    """

    originals: Tensor
    images: Tensor
    codes: Tensor | None
    teacher_codes: Tensor | None
    features: Mapping[str, Features] = field(default_factory=dict)


class Metric(ABC, Generic[Input]):
    """An accumulator over batches."""

    extractor: str = ""
    """The feature space of its numbers; empty if they have none."""

    @abstractmethod
    def update(self, batch: Input) -> None:
        """Take in a batch."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in all that `other`, a metric of the same kind, has seen."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values by metric name, of all that was seen.

        Raises:
            ValueError: nothing was.
        """


class MeanOverImages(Metric[Reconstructions]):
    """A value per image, averaged."""

    name: str

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    @abstractmethod
    def per_image(self, batch: Reconstructions) -> Tensor:
        """The value of each image, `[B]`."""

    def update(self, batch: Reconstructions) -> None:
        """Add the values of a batch."""
        values = self.per_image(batch).double()
        self.total += values.sum().item()
        self.count += len(values)

    def merge(self, other: Self) -> None:
        """Add the values of `other`."""
        self.total += other.total
        self.count += other.count

    def compute(self) -> dict[str, float]:
        """The mean."""
        return {self.name: _ratio(self.total, self.count, self.name)}


class PSNR(MeanOverImages):
    """Peak signal-to-noise ratio of the luma in dB, averaged over images; identical images count 100 dB."""

    name = "psnr"

    def per_image(self, batch: Reconstructions) -> Tensor:
        """The ratio of each image, `[B]`."""
        error = (luma(batch.images) - luma(batch.originals)).square().mean(dim=(1, 2))
        return -10 * error.clamp_min(1e-10).log10()


class SSIM(MeanOverImages):
    """Structural similarity of the luma, averaged over images.

    Gaussian windows of 11 pixels and deviation 1.5 that lie wholly inside the image, as Wang et al. 2004
    and the release; torchmetrics 1.9 also averages windows over reflected borders.
    """

    name = "ssim"

    def per_image(self, batch: Reconstructions) -> Tensor:
        """The similarity of each image, `[B]`."""
        if min(batch.images.shape[-2:]) < _SSIM_WINDOW:
            raise ValueError(f"ssim needs images of at least {_SSIM_WINDOW} pixels a side")
        image, original = luma(batch.images), luma(batch.originals)
        # In float64: differences of nearly equal means, which a GPU's TF32 products would drown.
        image, original = image.double(), original.double()
        moments = torch.stack([image, original, image**2, original**2, image * original])
        rows, columns = (_window_means(side, moments) for side in image.shape[-2:])
        # As products with band matrices the two passes of the filter are forty times as fast as convolutions.
        mean, mean_original, square, square_original, product = rows @ moments @ columns.T
        variances = square - mean**2 + square_original - mean_original**2
        covariance = product - mean * mean_original
        similarity = (2 * mean * mean_original + _SSIM_C1) * (2 * covariance + _SSIM_C2)
        similarity /= (mean**2 + mean_original**2 + _SSIM_C1) * (variances + _SSIM_C2)
        return similarity.mean(dim=(1, 2))


class CodeAccuracy(Metric[Reconstructions]):
    """Share of the decoded codes that are the teacher's."""

    def __init__(self) -> None:
        self.correct = 0
        self.count = 0

    def update(self, batch: Reconstructions) -> None:
        """Count the matches of a batch.

        Raises:
            ValueError: the batch has no codes to compare.
        """
        if batch.codes is None or batch.teacher_codes is None:
            raise ValueError("code_accuracy compares teacher codes, and these reconstructions have none")
        self.correct += int((batch.codes == batch.teacher_codes).sum())
        self.count += batch.codes.numel()

    def merge(self, other: Self) -> None:
        """Add the counts of `other`."""
        self.correct += other.correct
        self.count += other.count

    def compute(self) -> dict[str, float]:
        """`code_accuracy` in [0, 1]."""
        return {"code_accuracy": _ratio(self.correct, self.count, "code_accuracy")}


class CodebookUsage(Metric[Tensor]):
    """How evenly token ids use their codebook."""

    def __init__(self, codebook_size: int) -> None:
        self.counts = torch.zeros(codebook_size, dtype=torch.int64)

    def update(self, batch: Tensor) -> None:
        """Count ids, int64 of any shape."""
        self.counts += torch.bincount(batch.flatten().cpu(), minlength=len(self.counts))

    def merge(self, other: Self) -> None:
        """Add the counts of `other`."""
        self.counts += other.counts

    def compute(self) -> dict[str, float]:
        """`codebook_usage`, the share of codes that occur, `codebook_entropy` in bits, and its perplexity."""
        if not self.counts.any():
            raise ValueError("codebook_usage: nothing was seen")
        shares = self.counts[self.counts > 0].double() / self.counts.sum()
        entropy = -(shares * shares.log2()).sum().item()
        return {
            "codebook_usage": len(shares) / len(self.counts),
            "codebook_entropy": entropy,
            "codebook_perplexity": 2**entropy,
        }


def luma(images: Tensor) -> Tensor:
    """Brightness `[B, H, W]` of RGB images `[B, 3, H, W]`, in the images' own range (Rec. 601 weights)."""
    red, green, blue = images.unbind(1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _window_means(side: int, like: Tensor) -> Tensor:
    """The matrix `[side - 10, side]` that takes Gaussian-weighted means of 11 neighbours."""
    offsets = torch.arange(_SSIM_WINDOW, dtype=torch.float64) - _SSIM_WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    weights /= weights.sum()
    matrix = torch.zeros(side - _SSIM_WINDOW + 1, side, dtype=torch.float64)
    for row, values in enumerate(matrix):
        values[row : row + _SSIM_WINDOW] = weights
    return matrix.to(like)


def _ratio(total: float, count: int, name: str) -> float:
    if not count:
        raise ValueError(f"{name}: nothing was seen")
    return total / count
