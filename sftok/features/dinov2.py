"""DINOv2's features, the target of ImageFolder's semantic supervision (arXiv 2410.01756)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftok.features.base import FeaturesConfig
from sftok.features.vit import ViTFeatures, published_vit

DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"
"""DINOv2 ViT-B/14 without registers."""


class DINOv2Config(FeaturesConfig, name="dinov2"):
    """DINOv2-B with patches resized to 16 pixels, on images of 256, as in ImageFolder."""

    def channels(self, classifier: Sequence[int]) -> int:
        """Return 768, whatever the classifier is."""
        return 768

    def build(self, weights: Path | None = None) -> ViTFeatures:
        """Build the features.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
        shape = {"img_size": 256, "patch_size": 16, "num_classes": 0}
        network = published_vit("vit_base_patch14_dinov2", "DINOv2 ViT-B/14", DINOV2_URL, weights, **shape)
        return ViTFeatures(network, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
