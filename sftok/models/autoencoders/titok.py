"""TiTok trained directly on pixels, like TiTok-BL: learned queries as input, patches of pixels as output.

The networks are those of `sftok.models.titok_decoder`; here they are trained without a teacher's codes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from sftok.models.autoencoders.base import AutoencoderConfig
from sftok.models.base import Encoder, EncoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.titok_decoder import PixelsHead, PixelsHeadConfig, TiTokDecoder, TiTokDecoderConfig


class TiTokAutoencoderConfig(AutoencoderConfig, name="titok"):
    """A base-sized encoder and a large decoder, the sizes of TiTok-BL.

    Attributes:
        num_latent_tokens: number of queries, each of which becomes a latent.
        patch_size: pixels per side of a patch that the decoder predicts.
    """

    on_grid: ClassVar[bool] = False

    num_latent_tokens: int = Field(default=64, ge=1)
    encoder: EncoderConfig = ViTEncoderConfig()
    decoder: TiTokDecoderConfig = TiTokDecoderConfig(width=1024, depth=24, heads=16)
    patch_size: int = Field(default=16, ge=1)

    @property
    def head(self) -> PixelsHeadConfig:
        """The configuration of the layers from patches to pixels."""
        return PixelsHeadConfig(patch_size=self.patch_size)

    def num_latents(self, image_size: int) -> int:
        """Return the number of latents, for any image size."""
        return self.num_latent_tokens

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject images that cannot be divided into patches.

        Raises:
            ValueError: the sizes do not fit; the message names both.
        """
        self.encoder.check(image_size)
        self.head.grid(image_size)

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> Encoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return self.encoder.build(image_size, self.num_latent_tokens, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Sequential:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        generator = generator or torch.Generator().manual_seed(0)
        num_patches = self.head.grid(image_size) ** 2
        trunk = TiTokDecoder(self.decoder, self.num_latent_tokens, latent_dim, num_patches, generator)
        return nn.Sequential(trunk, PixelsHead(self.head, self.decoder.width, image_size, generator))
