"""TiTok: the single-step tokenizer of Table 1, whose encoder and layout SFTok keeps.

```
images [B,3,H,W] -> Encoder -> latents [B,K,Dq] -> VQ -> ids [B,K]
ids -> lookup -> Decoder, one pass over N equal mask tokens -> patches [B,N,D] -> head -> images
```

Two heads were released. `CodesHead` (B64, L32) predicts the teacher's codes and feeds their expected
embeddings to the VQGAN's pixel decoder; `PixelsHead` (BL64 and later) predicts each patch's pixels itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.models.base import BackboneConfig, Encoder, EncoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.layers import check_heads, initialize_transformer, transformer
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN
from sftok.quantizers.base import Quantizer, QuantizerConfig, check_ids, config_of
from sftok.quantizers.vq import VQConfig


class TiTokDecoderConfig(Config):
    """The shape of the decoder."""

    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class CodesHeadConfig(Config):
    """A head that predicts the codes of a VQGAN, whose pixel decoder follows."""

    kind: Literal["codes"] = "codes"
    pixel_decoder: BackboneConfig

    def grid(self, image_size: int) -> int:
        """Patches per side.

        Raises:
            ValueError: they do not cover the image evenly.
        """
        self.pixel_decoder.check(image_size)
        return self.pixel_decoder.code_grid(image_size)


class PixelsHeadConfig(Config):
    """A head that predicts pixels."""

    kind: Literal["pixels"] = "pixels"
    patch_size: int = Field(ge=1)

    def grid(self, image_size: int) -> int:
        """Patches per side.

        Raises:
            ValueError: they do not cover the image evenly.
        """
        if image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {image_size}")
        return image_size // self.patch_size


HeadConfig = Annotated[CodesHeadConfig | PixelsHeadConfig, Field(discriminator="kind")]


class TiTokConfig(Config):
    """The four parts, checked to fit each other."""

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


class TiTokDecoder(nn.Module):
    """Quantized latent tokens to one vector per patch, read off equal mask tokens that differ by position."""

    def __init__(
        self,
        config: TiTokDecoderConfig,
        num_latent_tokens: int,
        token_dim: int,
        num_patches: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.num_patches = config, num_patches
        width = config.width
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.mask_token = nn.Parameter(torch.empty(1, width))
        self.patch_positions = nn.Parameter(torch.empty(1 + num_patches, width))
        self.embed_latents = nn.Linear(token_dim, width)
        self.latent_positions = nn.Parameter(torch.empty(num_latent_tokens, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        initialize_transformer(self, generator)

    def forward(self, quantized: Tensor) -> Tensor:
        """Quantized latents `[B, K, Dq]` to patches `[B, N, D]`."""
        masks = repeat(self.mask_token, "one d -> (n one) d", n=self.num_patches)
        patches = torch.cat([self.class_token, masks]) + self.patch_positions
        patches = repeat(patches, "n d -> b n d", b=quantized.shape[0])
        latents = self.embed_latents(quantized) + self.latent_positions
        tokens = self.blocks(self.norm_in(torch.cat([patches, latents], dim=1)))
        return self.norm_out(tokens[:, 1 : patches.shape[1]])


class CodesHead(nn.Module):
    """Patches to logits of a VQGAN's codes, to their expected embeddings, to pixels."""

    def __init__(
        self,
        config: CodesHeadConfig,
        width: int,
        image_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        vocabulary = config.pixel_decoder.codebook_size
        self.to_logits = nn.Sequential(
            nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, vocabulary)
        )
        generator = generator or torch.Generator().manual_seed(0)
        initialize_transformer(self.to_logits, generator)
        self.pixel_decoder = config.pixel_decoder.build_decoder(image_size, generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches `[B, N, D]` to images `[B, 3, H, W]`, not clamped."""
        return self.pixel_decoder.decode_soft(self.to_logits(patches))


class PixelsHead(nn.Module):
    """Patches to their pixels, and one convolution across the seams."""

    def __init__(
        self,
        config: PixelsHeadConfig,
        width: int,
        image_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid(image_size)
        self.to_pixels = nn.Linear(width, 3 * config.patch_size**2)
        self.across_seams = nn.Conv2d(3, 3, 3, padding=1)
        initialize_transformer(self, generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches `[B, N, D]` to images `[B, 3, H, W]`, not clamped."""
        size = self.config.patch_size
        pixels = rearrange(
            self.to_pixels(patches),
            "b (h w) (p q c) -> b c (h p) (w q)",
            h=self.grid,
            p=size,
            q=size,
        )
        return self.across_seams(pixels)


HEADS: dict[str, Callable[..., CodesHead | PixelsHead]] = {"codes": CodesHead, "pixels": PixelsHead}
"""The heads by the `kind` of their configuration."""


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
        """Fresh parts with weights drawn from `generator` (None: seed 0)."""
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
            ConfigError: a part that the record cannot describe was injected.
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
        """Images `[B, 3, H, W]` in [0, 1] to token ids, int64 `[B, K]`; they do not depend on the batch."""
        return self.quantizer.assign(self.encoder(images))

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """Token ids int64 `[B, K]` to images `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: `ids` are not K per image, or out of range.
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
"""The released baselines of Table 1 by name; BL64 is the one with 8192 codes."""
