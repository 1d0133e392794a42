"""The family of discriminators of stage 3, and the layers that their heads share (Table 6: `dinodisc`)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sftok.components import Component
from sftok.frozen import Frozen


class Discriminator(nn.Module, ABC):
    """Judges images by small trained heads, usually on the features of a frozen network.

    Attributes:
        norm_batch: number of images normalized together; it must divide a process's share of a batch.
        network: the frozen network, if any; results record the hash of its weights.
    """

    norm_batch: int = 1
    network: Frozen | None = None

    @abstractmethod
    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to logits `[B, positions]`; higher means more real."""


class DiscriminatorConfig(Component, family="discriminator", package="sftok.models"):
    """Selects the discriminator; the paper's is `dino`."""

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor] | None:
        """Return its frozen network, if any, without weights, and one input for it, to count operations.

        Both are on the meta device. `image_size` is the side of the images in pixels.
        """
        return None

    @abstractmethod
    def build(self, generator: torch.Generator | None = None) -> Discriminator:
        """Build the discriminator, with the published weights of its network.

        Args:
            generator: source of the initial weights; None means a new one with seed 0.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value, tracked by one power iteration per training pass."""

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(len(matrix), generator=generator), dim=0))
        self.register_buffer("right", torch.empty(matrix.shape[1]))
        for _ in range(15):  # for the first estimate; afterwards the weight changes slowly
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the normalized weight; its first dimension counts outputs."""
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        # Cloned, because the next pass changes the buffers while this pass's graph may still need them.
        return weight / (self.left.clone() @ matrix @ self.right.clone())

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.right.copy_(F.normalize(matrix.t() @ self.left, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))


class LocalBatchNorm(nn.Module):
    """Batch norm over small groups of a batch, without running statistics, thus identical in every mode."""

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize `[B, C, ...]` in groups of `group` images, or of a similar size that divides B."""
        groups = math.ceil(len(hidden) / self.group)
        while len(hidden) % groups:
            groups -= 1
        grouped = rearrange(hidden, "(g b) c ... -> g b c (...)", g=groups)
        variance, mean = torch.var_mean(grouped, dim=(1, 3), keepdim=True, correction=0)
        scale = (variance + 1e-6).rsqrt() * rearrange(self.weight, "c -> c 1")
        return ((grouped - mean) * scale + rearrange(self.bias, "c -> c 1")).reshape(hidden.shape)


class Residual(nn.Module):
    """`(x + f(x)) / sqrt(2)`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: Tensor) -> Tensor:
        """Map any shape that the inner module preserves."""
        return (hidden + self.inner(hidden)) * math.sqrt(0.5)


def normalized_block(convolution: Any, norm_batch: int) -> nn.Sequential:
    """Build the convolution, a local batch norm and a leaky ReLU."""
    return nn.Sequential(
        convolution, LocalBatchNorm(convolution.out_channels, norm_batch), nn.LeakyReLU(0.2, inplace=True)
    )


def initialize_heads(heads: nn.Module, generator: torch.Generator | None) -> None:
    """Draw PyTorch's default weights of convolutions from `generator`, and add a spectral norm to each."""
    generator = generator or torch.Generator().manual_seed(0)
    for module in list(heads.modules()):
        if isinstance(module, nn.Conv1d | nn.Conv2d) and module.bias is not None:
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in (module.weight, module.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight, generator))
