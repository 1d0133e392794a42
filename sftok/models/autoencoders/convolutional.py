"""Shared by the convolutional autoencoders: their sizes and their layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sftok.models.autoencoders.base import AutoencoderConfig
from sftok.models.convolutional import ConvolutionalShape
from sftok.models.layers import attend


class ConvolutionalConfig(ConvolutionalShape, AutoencoderConfig):
    """A convolutional autoencoder."""

    def num_latents(self, image_size: int) -> int:
        """Return the number of latents per image, N."""
        return (image_size // self.factor) ** 2

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject images that latents do not cover evenly.

        Raises:
            ValueError: the sizes do not fit; the message names both.
        """
        if image_size % self.factor:
            raise ValueError(
                f"image_size {image_size} is not a multiple of {self.factor}, the pixels per side of a latent"
            )


Norm = Callable[[int], nn.Module]
"""Builds the norm for a number of channels; called with the features and, if it is modulated, the codes."""


class SpatialNorm(nn.Module):
    """A group norm with scale and shift from the quantized map (MoVQ, arXiv 2209.09002, Section 3.2).

    The map is resized to the features by nearest neighbor: GroupNorm(f) * conv_y(q) + conv_b(q). The scale
    has no "1 +".
    """

    def __init__(self, channels: int, groups: int, code_channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.scale = nn.Conv2d(code_channels, channels, 1)
        self.shift = nn.Conv2d(code_channels, channels, 1)

    def forward(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Map features `[B, C, h, w]` and the quantized map `[B, D, h', w']` to `[B, C, h, w]`."""
        codes = F.interpolate(codes, size=hidden.shape[-2:], mode="nearest")
        return self.norm(hidden) * self.scale(codes) + self.shift(codes)


class ResidualBlock(nn.Module):
    """Norm, SiLU and 3x3 convolution, twice, plus the input, through a 1x1 convolution if widths differ.

    Args:
        inputs: input channels.
        outputs: output channels.
        norm: builds the norms.
        bias: whether the convolutions have a bias.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, bias: bool = True) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        self.norm2 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=bias) if inputs != outputs else nn.Identity()

    def forward(self, hidden: Tensor, *codes: Tensor) -> Tensor:
        """Map `[B, inputs, h, w]` to `[B, outputs, h, w]`; `codes` modulate the norms."""
        out = self.conv1(F.silu(self.norm1(hidden, *codes)))
        out = self.conv2(F.silu(self.norm2(out, *codes)))
        return self.shortcut(hidden) + out


class AttentionBlock(nn.Module):
    """Attention with one head over all positions of a grid, with a residual connection."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, hidden: Tensor, *codes: Tensor) -> Tensor:
        """Map `[B, C, h, w]` to `[B, C, h, w]`; `codes` modulate the norm."""
        joint = rearrange(
            self.qkv(self.norm(hidden, *codes)), "b (three c) h w -> three b 1 (h w) c", three=3
        )
        attended = rearrange(attend(*joint), "b 1 (h w) c -> b c h w", h=hidden.shape[2])
        return hidden + self.proj(attended)


class Downsample(nn.Conv2d):
    """A 3x3 convolution with stride 2, padded by one column of zeros on the right and one row below."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[B, C, 2h, 2w]` to `[B, C, h, w]`."""
        return super().forward(F.pad(hidden, (0, 1, 0, 1)))


class Upsample(nn.Conv2d):
    """Nearest-neighbor upsampling by 2, and a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[B, C, h, w]` to `[B, C, 2h, 2w]`."""
        return super().forward(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """Build the group norm of all these autoencoders, with epsilon 1e-6."""
    return nn.GroupNorm(groups, channels, eps=1e-6)


def initialize_as_torch(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw the weights of convolutions and linear layers in place, from torch's default distributions.

    Args:
        module: the module, which is changed in place.
        generator: source of the draws (None: seed 0).
    """
    generator = generator or torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(child.weight, a=5**0.5, generator=generator)
            if child.bias is not None:
                bound = child.weight[0].numel() ** -0.5
                nn.init.uniform_(child.bias, -bound, bound, generator=generator)
