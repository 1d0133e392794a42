"""Features of published Vision Transformers, built by timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sftok.features.base import Features
from sftok.frozen import Frozen
from sftok.io.published import load_published

Triple = tuple[float, float, float]
"""One number per color channel."""


class ViTFeatures(Features):
    """Class token and patch tokens after the last norm, and after the head if the network has one.

    Args:
        network: a timm `VisionTransformer` with one class token.
        mean: mean of its training images, per channel.
        deviation: standard deviation of its training images, per channel.
    """

    def __init__(self, network: nn.Module, mean: Triple, deviation: Triple) -> None:
        self.network = Frozen(network)
        self.mean, self.deviation = mean, deviation
        vit: Any = network
        self.side: int = vit.patch_embed.img_size[0]
        self.dim = vit.num_classes or vit.embed_dim

    def pooled(self, images: Tensor) -> Tensor:
        """Return the class token, `[B, F]`."""
        return self._tokens(images)[:, 0]

    def patches(self, images: Tensor) -> Tensor:
        """Return the patch tokens, `[B, n, F]`."""
        return self._tokens(images)[:, 1:]

    @torch.no_grad()
    def _tokens(self, images: Tensor) -> Tensor:
        network = self.network.on(images.device)
        if images.shape[-1] != self.side:
            images = F.interpolate(images, (self.side, self.side), mode="bicubic", antialias=True)
        mean, deviation = (
            rearrange(images.new_tensor(each), "c -> c 1 1") for each in (self.mean, self.deviation)
        )
        return network.head(network.forward_features((images - mean) / deviation))


def published_vit(name: str, what: str, url: str, weights: Path | None, **shape: Any) -> nn.Module:
    """Build timm's network `name` with published weights, resized to its `shape`.

    Raises:
        PretrainedError: the weights are missing or damaged.
    """
    import timm  # imported here because it takes seconds, which reading a configuration need not spend
    from timm.models.vision_transformer import checkpoint_filter_fn

    with torch.device("meta"):
        network: Any = timm.create_model(name, pretrained=False, **shape)
    load_published(network, what, url, weights, lambda given: checkpoint_filter_fn(dict(given), network))
    return network.eval()
