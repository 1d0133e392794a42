"""The bits that an image takes: as token ids in a code of fixed length, as latents, or as a file."""

from __future__ import annotations

from typing import Self

from sftok.metrics.accumulators import ratio
from sftok.metrics.base import Measured, Metric, MetricConfig, Setup
from sftok.metrics.quantity import Quantity


class RateConfig(MetricConfig, name="rate"):
    """Bits per image and per pixel."""

    quantities = (
        Quantity(
            name="bits_per_image",
            label="Bits per image",
            direction=-1,
            unit="bits",
            meaning="size of what an image is decoded from, mean over images",
        ),
        Quantity(
            name="bits_per_pixel",
            label="Bits per pixel",
            direction=-1,
            unit="bits",
            meaning="bits per image over the number of pixels",
        ),
    )
    needs = frozenset({"bits", "images"})

    def build(self, setup: Setup) -> Rate:
        """The metric, before any batch."""
        return Rate()


class Rate(Metric):
    """Mean bits of images and of their pixels."""

    def reset(self) -> None:
        """Forget everything that was seen."""
        self.bits = 0.0
        self.images = self.pixels = 0

    def update(self, batch: Measured) -> None:
        """Add the bits of a batch."""
        assert batch.bits is not None
        assert batch.images is not None
        self.bits += batch.bits.double().sum().item()
        self.images += len(batch.bits)
        self.pixels += len(batch.bits) * batch.images.shape[-2] * batch.images.shape[-1]

    def merge(self, other: Self) -> None:
        """Add the bits of `other`."""
        self.bits += other.bits
        self.images += other.images
        self.pixels += other.pixels

    def compute(self) -> dict[str, float]:
        """Both means."""
        return {
            "bits_per_image": ratio(self.bits, self.images, "bits_per_image"),
            "bits_per_pixel": ratio(self.bits, self.pixels, "bits_per_pixel"),
        }
