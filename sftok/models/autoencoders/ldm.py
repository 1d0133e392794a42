"""The convolutional autoencoder of latent diffusion (LDM-4, arXiv 2112.10752), built from diffusers' parts.

Each level but the last halves the grid; only the middle has attention. There is a 1x1 convolution before and
after the latents.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sftok.extras import require
from sftok.models.autoencoders.base import to_grid, to_sequence
from sftok.models.autoencoders.convolutional import ConvolutionalConfig
from sftok.randomness import initialization_from


class LDMConfig(ConvolutionalConfig, name="ldm"):
    """The shape of both halves. The defaults are the published f4 autoencoder: 64x64 latents of 256 pixels.

    The decoder has one more residual block per level.

    Attributes:
        middle_attention: whether the middle has attention, as in all published models but f4-noattn.
    """

    channel_multipliers: tuple[int, ...] = Field(default=(1, 2, 4), min_length=1)
    middle_attention: bool = True

    def check_weights(self) -> None:
        """Check that diffusers is installed; raises MissingLibraryError if not."""
        require("diffusers")

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> LDMEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return LDMEncoder(self, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> LDMDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return LDMDecoder(self, image_size // self.factor, latent_dim, generator)


class LDMEncoder(nn.Module):
    """Maps images to latents."""

    def __init__(self, config: LDMConfig, latent_dim: int, generator: torch.Generator | None = None) -> None:
        require("diffusers")
        from diffusers.models.autoencoders import vae

        super().__init__()
        with initialization_from(generator):
            self.network = vae.Encoder(
                in_channels=3,
                out_channels=latent_dim,
                down_block_types=("DownEncoderBlock2D",) * len(config.channels),
                block_out_channels=config.channels,
                layers_per_block=config.num_res_blocks,
                norm_num_groups=config.norm_groups,
                double_z=False,
                mid_block_add_attention=config.middle_attention,
            )
            self.quant_conv = nn.Conv2d(latent_dim, latent_dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        return to_sequence(self.quant_conv(self.network(2 * images - 1)))


class LDMDecoder(nn.Module):
    """Maps latents to images."""

    def __init__(
        self, config: LDMConfig, grid: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        require("diffusers")
        from diffusers.models.autoencoders import vae

        super().__init__()
        self.grid = grid
        with initialization_from(generator):
            self.post_quant_conv = nn.Conv2d(latent_dim, latent_dim, 1)
            self.network = vae.Decoder(
                in_channels=latent_dim,
                out_channels=3,
                up_block_types=("UpDecoderBlock2D",) * len(config.channels),
                block_out_channels=config.channels,
                layers_per_block=config.num_res_blocks,
                norm_num_groups=config.norm_groups,
                mid_block_add_attention=config.middle_attention,
            )

    def forward(self, latents: Tensor) -> Tensor:
        """Decode latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        return (self.network(self.post_quant_conv(to_grid(latents, self.grid))) + 1) / 2
