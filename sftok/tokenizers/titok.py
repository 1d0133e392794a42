"""TiTok: the single-step tokenizer of Table 1, whose encoder and layout SFTok keeps.

```
images [B,3,H,W] -> Encoder -> latents [B,K,Dq] -> VQ -> ids [B,K]
ids -> lookup -> Decoder, one pass over N equal mask tokens -> patches [B,N,D] -> head -> images
```
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.models.base import Encoder, EncoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN
from sftok.models.titok_decoder import (
    HEADS,
    CodesHead,
    CodesHeadConfig,
    HeadConfig,
    PixelsHead,
    PixelsHeadConfig,
    TiTokDecoder,
    TiTokDecoderConfig,
)
from sftok.quantizers.base import Quantizer, QuantizerConfig, check_ids, config_of
from sftok.quantizers.vq import VQConfig


class TiTokConfig(Config):
    """The four parts, which must fit each other."""

    image_size: int = Field(ge=1)
    num_latent_tokens: int = Field(ge=1)
    token_dim: int = Field(ge=1)
    encoder: EncoderConfig
    quantizer: QuantizerConfig
    decoder: TiTokDecoderConfig
    head: HeadConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.encoder.check(self.image_size)
        self.quantizer.check(self.token_dim, self.num_latent_tokens)
        self.head.grid(self.image_size)
        return self


class TiTok(Pretrained):
    """A tokenizer that decodes in one step, composed of injected parts."""

    architecture: ClassVar[str] = "titok"
    record_type: ClassVar[type[Config]] = TiTokConfig
    single_step: ClassVar[bool] = True

    def __init__(
        self, encoder: Encoder, quantizer: Quantizer, decoder: TiTokDecoder, head: CodesHead | PixelsHead
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.head = head

    @classmethod
    def from_config(cls, config: TiTokConfig, generator: torch.Generator | None = None) -> Self:
        """Build the parts with weights drawn from `generator` (None: seed 0)."""
        generator = generator or torch.Generator().manual_seed(0)
        tokens, width = (config.num_latent_tokens, config.token_dim), config.decoder.width
        num_patches = config.head.grid(config.image_size) ** 2
        return cls(
            config.encoder.build(config.image_size, *tokens, generator),
            config.quantizer.build(config.token_dim, generator),
            TiTokDecoder(config.decoder, *tokens, num_patches, generator),
            HEADS[config.head.kind](config.head, width, config.image_size, generator),
        )

    @property
    def record(self) -> TiTokConfig:
        """The configurations of the parts.

        Raises:
            ConfigError: an injected part cannot be described by the record.
        """
        return TiTokConfig.build(
            {
                "image_size": self.encoder.image_size,
                "num_latent_tokens": self.encoder.num_latent_tokens,
                "token_dim": self.encoder.token_dim,
                "encoder": self.encoder.config,
                "quantizer": config_of(self.quantizer),
                "decoder": self.decoder.config,
                "head": self.head.config,
            }
        )

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return self.encoder.image_size

    @property
    def num_tokens(self) -> int:
        """Ids per image, K."""
        return self.encoder.num_latent_tokens

    @property
    def codebook_size(self) -> int:
        """Number of ids."""
        return self.quantizer.codebook_size

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`, which do not depend on the batch."""
        return self.quantizer.assign(self.encoder(images))

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """Decode token ids, int64 `[B, K]`, to images `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: `ids` do not have K ids per image, or are out of range.
        """
        check_ids(ids, self.num_tokens, self.codebook_size)
        return self.head(self.decoder(self.quantizer.lookup(ids))).clamp(0, 1)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] and decode their tokens."""
        return self.decode(self.encode(images))


_BASE = {"width": 768, "depth": 12, "heads": 12}
_LARGE = {"width": 1024, "depth": 24, "heads": 16}

TITOK_B64 = TiTokConfig(
    image_size=256,
    num_latent_tokens=64,
    token_dim=12,
    encoder=ViTEncoderConfig(latent_layout="legacy"),
    quantizer=VQConfig(codebook_size=4096),
    decoder=TiTokDecoderConfig(**_BASE),
    head=CodesHeadConfig(pixel_decoder=MASKGIT_VQGAN.backbone),
)
TITOK_L32 = TITOK_B64.model_copy(
    update={
        "num_latent_tokens": 32,
        "encoder": ViTEncoderConfig(latent_layout="legacy", **_LARGE),
        "decoder": TiTokDecoderConfig(**_LARGE),
    }
)
TITOK_BL64 = TiTokConfig(
    image_size=256,
    num_latent_tokens=64,
    token_dim=64,
    encoder=ViTEncoderConfig(),
    quantizer=VQConfig(codebook_size=8192, use_l2_norm=False),
    decoder=TiTokDecoderConfig(**_LARGE),
    head=PixelsHeadConfig(patch_size=16),
)
TITOK_SIZES = {"titok-b64": TITOK_B64, "titok-bl64": TITOK_BL64, "titok-l32": TITOK_L32}
"""The released baselines of Table 1 by name; BL64 has 8192 codes."""
