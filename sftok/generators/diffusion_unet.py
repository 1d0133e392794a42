"""The U-Net of latent diffusion (LDM-4, arXiv 2112.10752), from diffusers."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.extras import require
from sftok.generators.diffusion import DiffusionConfig
from sftok.randomness import initialization_from


class UNetConfig(DiffusionConfig, name="diffusion-unet"):
    """The shape of the U-Net; the widths and blocks of the defaults are LDM-4's for ImageNet.

    LDM-4's attention has one head per level, followed by cross-attention and a feed-forward layer.

    Attributes:
        channels: one width per level; all but the last halve the grid, and all but the first have attention.
        num_res_blocks: residual blocks per level on the way down; the way up has one more.
        head_dim: channels of an attention head.
        norm_groups: groups of every group norm.
    """

    channels: tuple[int, ...] = Field(default=(192, 384, 576, 960), min_length=1)
    num_res_blocks: int = Field(default=2, ge=1)
    head_dim: int = Field(default=32, ge=1)
    norm_groups: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        for width in self.channels:
            if width < 1 or width % self.norm_groups:
                raise ValueError(f"norm_groups {self.norm_groups} does not divide {width} channels")
        for width in {*self.channels[1:], self.channels[-1]}:  # the middle block has attention, too
            if width % self.head_dim:
                raise ValueError(f"head_dim {self.head_dim} does not divide {width} channels")
        return self

    def build_denoiser(
        self, side: int, latent_dim: int, num_classes: int, generator: torch.Generator | None
    ) -> UNet:
        """Build a U-Net with weights drawn from `generator`."""
        return UNet(self, side, latent_dim, num_classes, generator)


class UNet(nn.Module):
    """diffusers' U-Net, with the class embedding added to that of the noise level.

    Grids that its levels cannot halve evenly are padded with zeros on the right and at the bottom.
    """

    def __init__(
        self,
        config: UNetConfig,
        side: int,
        latent_dim: int,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        require("diffusers")
        from diffusers import UNet2DModel

        super().__init__()
        levels = len(config.channels)
        self.padding = -side % 2 ** (levels - 1)
        with initialization_from(generator):
            self.network = UNet2DModel(
                in_channels=latent_dim,
                out_channels=latent_dim,
                down_block_types=("DownBlock2D", *["AttnDownBlock2D"] * (levels - 1)),
                up_block_types=(*["AttnUpBlock2D"] * (levels - 1), "UpBlock2D"),
                block_out_channels=config.channels,
                layers_per_block=config.num_res_blocks,
                attention_head_dim=config.head_dim,
                norm_num_groups=config.norm_groups,
                num_class_embeds=num_classes + 1,
            )

    def forward(self, latents: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        """Map noisy latents `[B, D, h, w]`, levels `[B]` and labels `[B]` to noise `[B, D, h, w]`."""
        side = latents.shape[-1]
        padded = F.pad(latents, (0, self.padding, 0, self.padding))
        return self.network(padded, levels, labels).sample[..., :side, :side]
