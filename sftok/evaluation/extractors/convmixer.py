"""A second in-domain classifier of another architecture: timm's ConvMixer (arXiv 2201.09792).

It complements `classifier`: results on which both agree do not depend on one architecture or one seed. Images
are cut into patches, which depthwise convolutions mix on a grid of constant size.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from sftok.evaluation.extractors.base import Shape, TrainedConfig


class ConvMixerConfig(TrainedConfig, name="convmixer"):
    """Features and logits of a ConvMixer trained on the class labels."""

    objective = "labels"

    width: int = Field(default=64, ge=1)
    """Channels, and the length of the features."""
    depth: int = Field(default=4, ge=1)
    kernel_size: int = Field(default=5, ge=1)
    grid: int = Field(default=7, ge=1)
    """Maximum number of patches per side; larger images have larger patches."""

    def network(self, shape: Shape) -> ConvMixerClassifier:
        """Build an untrained ConvMixer."""
        return ConvMixerClassifier(self, shape)


class ConvMixerClassifier(nn.Module):
    """Maps images to class logits."""

    def __init__(self, config: ConvMixerConfig, shape: Shape) -> None:
        super().__init__()
        # Imported here because timm takes time to load, and planning does not need it.
        from timm.models.convmixer import ConvMixer

        patch = -(-shape.image_size // config.grid)
        self.body = ConvMixer(config.width, config.depth, config.kernel_size, patch, num_classes=0)
        self.head = nn.Linear(config.width, shape.num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to pooled features `[B, width]`."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to logits `[B, num_classes]`."""
        return self.head(self.features(images))
