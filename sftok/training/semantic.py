"""Semantic supervision of a tokenizer's latents by a frozen network (ImageFolder, arXiv 2410.01756).

A pooled branch of the quantized latents is pulled towards the image's features and pushed away from those of
the other images of the batch, as CLIP pairs images and texts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.config import Config
from sftok.distributed import SINGLE, World
from sftok.features.base import Features, FeaturesConfig


class SemanticConfig(Config):
    """Settings of semantic supervision.

    Attributes:
        features: features of the frozen network.
        weight: weight of the loss.
        scale: factor of the inner products of both vectors, which are not normalized (the release's
            defaults).
        branches: number of equal parts of a latent's channels; the last one is supervised.
        left_out: share of a training batch, starting at its first image, that is not supervised because
            quantizer dropout may have shortened it.
    """

    features: FeaturesConfig
    weight: float = Field(default=0.1, gt=0)
    scale: float = Field(default=1.0, gt=0)
    branches: int = Field(default=2, ge=1)
    left_out: float = Field(default=0.1, ge=0, lt=1)

    def check(self, latent_dim: int) -> None:
        """Reject latents whose channels cannot be divided into the branches.

        Raises:
            ValueError: the branches do not divide the channels; the message gives both numbers.
        """
        if latent_dim % self.branches:
            raise ValueError(f"semantic: {self.branches} branches do not divide {latent_dim} channels")


class SemanticLoss(nn.Module):
    """The loss, and the linear map from features to a branch's channels, which is trained with it.

    The release maps DINOv2's features by the encoder's own last layer, which has the same width; features of
    another width need a separate map.
    """

    def __init__(
        self,
        config: SemanticConfig,
        features: Features,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        config.check(latent_dim)
        self.config, self.features = config, features
        self.projection = nn.utils.skip_init(nn.Linear, features.dim, latent_dim // config.branches)
        generator = generator or torch.Generator().manual_seed(0)
        nn.init.xavier_uniform_(self.projection.weight, generator=generator)
        nn.init.zeros_(self.projection.bias)

    def forward(self, quantized: Tensor, images: Tensor, world: World = SINGLE) -> Tensor:
        """Return the weighted loss of quantized latents `[B, N, D]` of `images` `[B, 3, H, W]` in [0, 1].

        Every image is compared with all others of the batch, even if processes share it.
        """
        branch = quantized.chunk(self.config.branches, dim=-1)[-1]
        with torch.no_grad():
            seen = self.features.pooled(images)
        with torch.autocast(images.device.type, enabled=False):
            latents = _of_all(branch.float().mean(1), world)
            targets = _of_all(self.projection(seen.float()), world)
            first = int(self.config.left_out * len(latents))
            logits = self.config.scale * latents[first:] @ targets[first:].t()
            pairs = torch.arange(len(logits), device=logits.device)
            loss = (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.t(), pairs)) / 2
        # Gradients are averaged over processes, but each process knows only its own images' part of this one.
        loss = loss + (world.size - 1) * (loss - loss.detach())
        return self.config.weight * loss


def _of_all(part: Tensor, world: World) -> Tensor:
    """Gather the parts of all processes; only this process's part keeps its gradient."""
    parts = list(world.gather(part.detach()).chunk(world.size))
    parts[world.rank] = part
    return torch.cat(parts)
