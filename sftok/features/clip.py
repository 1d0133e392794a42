"""CLIP's features, which VQGAN-LC clusters into a codebook (arXiv 2406.11837)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftok.features.base import FeaturesConfig
from sftok.features.vit import ViTFeatures, published_vit
from sftok.io.published import hub_file

CLIP_URL = "https://huggingface.co/timm/vit_large_patch14_clip_224.openai/resolve/main/model.safetensors"
"""The image encoder of OpenAI's CLIP ViT-L/14, under timm's names."""

CLIP_FILE = "vit_large_patch14_clip_224.openai.safetensors"
"""Name of the file in torch's hub cache, because the published name is not distinctive."""


class CLIPConfig(FeaturesConfig, name="clip"):
    """CLIP ViT-L/14 after the projection to 768 channels: 16x16 patches of images of 224 pixels."""

    def channels(self, classifier: Sequence[int]) -> int:
        """Return 768, whatever the classifier is."""
        return 768

    def build(self, weights: Path | None = None) -> ViTFeatures:
        """Build the features.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
        path = weights or hub_file(CLIP_URL).with_name(CLIP_FILE)
        name = "vit_large_patch14_clip_quickgelu_224"
        network = published_vit(name, "CLIP ViT-L/14", CLIP_URL, path, num_classes=768)
        return ViTFeatures(network, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
