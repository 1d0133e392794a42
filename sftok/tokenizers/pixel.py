"""A tokenizer trained on pixels: an autoencoder around a quantizer, without a teacher.

```
images [B,3,H,W] -> encoder -> latents [B,N,D] -> quantizer -> ids [B,K] -> lookup -> decoder -> images
```

K is N for a quantizer that gives each latent one id, and more for one with depth, chunks or scales. With a
continuous quantizer, latents `[B,N,D]` take the place of ids (LDM-4, DC-AE).
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.distributed import SINGLE, World
from sftok.models.autoencoders.base import AutoencoderConfig
from sftok.models.maskgit_vqgan import images_at_once
from sftok.quantizers.base import Quantized, QuantizerConfig, check_ids


class PixelTokenizerConfig(Config):
    """The parts, which must fit each other and the images.

    Attributes:
        image_size: pixels per side.
        latent_dim: channels of a latent, D.
    """

    image_size: int = Field(ge=1)
    autoencoder: AutoencoderConfig
    quantizer: QuantizerConfig
    latent_dim: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for dim in (self.latent_dim, self.quantizer.encoder_dim(self.latent_dim)):
            self.autoencoder.check(self.image_size, dim)
        self.quantizer.check(self.latent_dim, self.autoencoder.num_latents(self.image_size))
        return self

    @property
    def num_tokens(self) -> int:
        """Ids per image, K."""
        return self.quantizer.ids_per_image(self.autoencoder.num_latents(self.image_size))

    @property
    def codebook_size(self) -> int:
        """Number of distinct ids, V; 0 for latents."""
        return 0 if self.quantizer.continuous else self.quantizer.codebook_size

    @property
    def bits_per_image(self) -> float:
        """Bits of all ids, log2(V) each, or of all numbers of the latents, 32 each as float32."""
        bits = 32.0 * self.latent_dim if self.quantizer.continuous else math.log2(self.codebook_size)
        return self.num_tokens * bits


class PixelTokenizer(Pretrained):
    """Encoder, quantizer and decoder, trained together."""

    architecture: ClassVar[str] = "pixel-tokenizer"
    record_type: ClassVar[type[Config]] = PixelTokenizerConfig

    def __init__(self, config: PixelTokenizerConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config = config
        size, dim = config.image_size, config.latent_dim
        self.encoder = config.autoencoder.build_encoder(size, config.quantizer.encoder_dim(dim), generator)
        self.quantizer = config.quantizer.build(dim, generator)
        self.decoder = config.autoencoder.build_decoder(size, dim, generator)

    @classmethod
    def from_config(cls, config: PixelTokenizerConfig, generator: torch.Generator | None = None) -> Self:
        """Build a tokenizer with weights drawn from `generator` (None: seed 0)."""
        return cls(config, generator)

    @property
    def record(self) -> PixelTokenizerConfig:
        """The configuration of all parts."""
        return self.config

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return self.config.image_size

    @property
    def num_tokens(self) -> int:
        """Ids per image, K."""
        return self.config.num_tokens

    @property
    def codebook_size(self) -> int:
        """Number of distinct ids, V."""
        return self.config.codebook_size

    @property
    def bits_per_image(self) -> float:
        """Bits of all ids, or of the latents in their number format."""
        return self.config.bits_per_image

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`, or continuous latents `[B, N, D]`.

        Images are processed in chunks, as in `decode`.
        """
        parts = images.split(images_at_once(self.image_size))
        return torch.cat([self.quantizer.assign(self.encoder(part).float()) for part in parts])

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """Decode ids `[B, K]`, or continuous latents `[B, N, D]`, to images `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: no encoder produces these ids.
        """
        if not self.config.quantizer.continuous:
            check_ids(ids, self.num_tokens, self.codebook_size)
        parts = ids.split(images_at_once(self.image_size))
        return torch.cat([self.decoder(self.quantizer.lookup(part)).clamp(0, 1) for part in parts])

    def forward(
        self, images: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> tuple[Tensor, Quantized]:
        """Reconstruct images `[B, 3, H, W]`, for training.

        Args:
            images: in [0, 1].
            generator: source of a quantizer's draws.
            world: the processes that share the batch.

        Returns:
            The reconstruction `[B, 3, H, W]`, not clamped, and the quantization with its losses.
        """
        quantized = self.quantizer(self.encoder(images).float(), generator, world)
        return self.decoder(quantized.quantized), quantized
