"""PSNR of the luma, averaged over images; identical images count as 100 dB."""

from __future__ import annotations

from torch import Tensor

from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Measured, MetricConfig, Setup
from sftok.metrics.luma import luma
from sftok.metrics.quantity import Quantity


class PSNRConfig(MetricConfig, name="psnr"):
    """Peak signal-to-noise ratio."""

    quantities = (
        Quantity(
            name="psnr",
            label="PSNR",
            direction=1,
            unit="dB",
            meaning="fidelity to the original, pixel by pixel",
        ),
    )
    needs = frozenset({"images", "originals"})

    def build(self, setup: Setup) -> PSNR:
        """Build the metric."""
        return PSNR()


class PSNR(MeanOverImages):
    """Peak signal-to-noise ratio of the luma in dB, averaged over images."""

    name = "psnr"

    def per_image(self, batch: Measured) -> Tensor:
        """Return the ratio of each image, `[B]`."""
        assert batch.images is not None
        assert batch.originals is not None
        error = (luma(batch.images) - luma(batch.originals)).square().mean(dim=(1, 2))
        return -10 * error.clamp_min(1e-10).log10()
