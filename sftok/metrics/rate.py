"""The bits per image: of token ids in a fixed-length code, of latents, or of a file."""

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
    needs = frozenset({"bits"})

    def build(self, setup: Setup) -> Rate:
        """Build the metric."""
        if setup.pixels is None:
            raise ValueError("rate needs the number of pixels of an image")
        return Rate(setup.pixels)


class Rate(Metric):
    """Mean bits of images with `pixels` pixels."""

    reads_pixels = False

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        super().__init__()

    def reset(self) -> None:
        """Discard everything seen so far."""
        self.bits, self.images = 0.0, 0

    def update(self, batch: Measured) -> None:
        """Add the bits of a batch."""
        assert batch.bits is not None
        self.bits += batch.bits.double().sum().item()
        self.images += len(batch.bits)

    def merge(self, other: Self) -> None:
        """Add the bits of `other`."""
        self.bits += other.bits
        self.images += other.images

    def compute(self) -> dict[str, float]:
        """Return both means."""
        bits = ratio(self.bits, self.images, "bits_per_image")
        return {"bits_per_image": bits, "bits_per_pixel": bits / self.pixels}
