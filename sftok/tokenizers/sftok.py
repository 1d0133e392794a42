"""SFTok: an encoder, a quantizer, a multi-step decoder and a pixel decoder (Section 3).

```
images [B,3,H,W] -> Encoder -> latents [B,K,Dq] -> Quantizer -> ids [B,K]
ids -> lookup -> Decoder, T steps from all masked -> codes [B,N] -> PixelDecoder -> images
```

Ablations choose or inject another part; they never add a flag here.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import OnStep, Unmasked, iterative_unmask
from sftok.models.base import BackboneConfig, Decoder, DecoderConfig, Encoder, EncoderConfig, PixelDecoder
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN
from sftok.quantizers.base import Quantizer, QuantizerConfig, check_ids, config_of
from sftok.quantizers.optvq import OptVQConfig
from sftok.quantizers.tail_drop import FirstTokens


class LatentTokenizerConfig(Config):
    """The parts that stages 1 and 2 train, independent of the teacher; the default is SFTok-B.

    Attributes:
        num_latent_tokens: ids per image, K.
        token_dim: channels of a latent token, Dq.
    """

    num_latent_tokens: int = Field(default=64, ge=1)
    token_dim: int = Field(default=32, ge=1)
    encoder: EncoderConfig = ViTEncoderConfig()
    quantizer: QuantizerConfig = OptVQConfig()
    decoder: DecoderConfig = ViTDecoderConfig()

    @model_validator(mode="after")
    def _codes_fit_latents(self) -> Self:
        self.quantizer.check(self.token_dim, self.num_latent_tokens)
        if self.quantizer.continuous:
            raise ValueError(
                f"the quantizer {self.quantizer.reference!r} gives no ids; "
                "a 1D tokenizer needs one id per token"
            )
        ids = self.quantizer.ids_per_image(self.num_latent_tokens)
        if ids != self.num_latent_tokens:
            raise ValueError(
                f"the quantizer {self.quantizer.reference!r} gives {ids} ids for {self.num_latent_tokens} "
                "latent tokens; a 1D tokenizer needs one id per token"
            )
        return self


class SFTokConfig(LatentTokenizerConfig):
    """All four parts, which must fit each other and the images."""

    image_size: int = Field(ge=1)
    pixel_decoder: BackboneConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.encoder.check(self.image_size)
        self.pixel_decoder.check(self.image_size)
        num_codes = self.pixel_decoder.num_codes(self.image_size)
        if self.num_latent_tokens > num_codes:
            raise ValueError(
                f"{self.num_latent_tokens} latent tokens for {num_codes} teacher codes: "
                "more latent tokens than ids to predict do not compress anything"
            )
        return self


class SFTokRecord(SFTokConfig):
    """The record from which a tokenizer is rebuilt: its parts, and how it is decoded after training.

    Training does not depend on `decoding`, which is therefore not part of its configuration and key.
    """

    decoding: DecodingConfig = DecodingConfig()


class SFTok(Pretrained):
    """An image tokenizer composed of injected parts.

    Attributes:
        decoding: default of `decode`: the paper's 8 steps; after stage 3, with the soft lookup.
    """

    architecture: ClassVar[str] = "sftok"
    record_type: ClassVar[type[Config]] = SFTokRecord

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Quantizer,
        decoder: Decoder,
        pixel_decoder: PixelDecoder,
        decoding: DecodingConfig | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.pixel_decoder = pixel_decoder
        self.decoding = decoding or DecodingConfig()

    @classmethod
    def from_config(
        cls,
        config: SFTokConfig,
        generator: torch.Generator | None = None,
        decoding: DecodingConfig | None = None,
    ) -> Self:
        """Build the parts with weights drawn from `generator` (None: seed 0)."""
        generator = generator or torch.Generator().manual_seed(0)
        tokens, pixels = (config.num_latent_tokens, config.token_dim), config.pixel_decoder
        num_codes = pixels.num_codes(config.image_size)
        return cls(
            config.encoder.build(config.image_size, *tokens, generator),
            config.quantizer.build(config.token_dim, generator),
            config.decoder.build(*tokens, num_codes, pixels.codebook_size, generator),
            pixels.build_decoder(config.image_size, generator),
            decoding,
        )

    @classmethod
    def from_record(cls, record: SFTokRecord, generator: torch.Generator | None = None) -> Self:
        """Like `from_config`, with the decoding of the record."""
        return cls.from_config(record, generator, record.decoding)

    @property
    def record(self) -> SFTokRecord:
        """The parts' configurations and the decoding.

        Raises:
            ConfigError: an injected part cannot be described by the record.
        """
        return SFTokRecord.build(
            {
                "num_latent_tokens": self.encoder.num_latent_tokens,
                "token_dim": self.encoder.token_dim,
                "encoder": self.encoder.config,
                "quantizer": config_of(self.quantizer),
                "decoder": self.decoder.config,
                "image_size": self.encoder.image_size,
                "pixel_decoder": self.pixel_decoder.config,
                "decoding": self.decoding,
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

    @property
    def bits_per_image(self) -> float:
        """Bits of the ids from which images are decoded, log2(V) each."""
        kept = self.quantizer.kept if isinstance(self.quantizer, FirstTokens) else self.num_tokens
        return min(kept, self.num_tokens) * math.log2(self.codebook_size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`, which do not depend on the batch."""
        return self.quantizer.assign(self.encoder(images))

    @torch.no_grad()
    def decode_codes(
        self, ids: Tensor, decoding: DecodingConfig, generator: torch.Generator, on_step: OnStep | None = None
    ) -> Unmasked:
        """Decode token ids, int64 `[B, K]`, to teacher codes `[B, N]` and the last logits `[B, N, V]`.

        Raises:
            ValueError: `ids` do not have K ids per image, or are out of range.
        """
        check_ids(ids, self.num_tokens, self.codebook_size)
        quantized = self.quantizer.lookup(ids)
        return iterative_unmask(
            lambda codes, step: self.decoder(codes, quantized),
            batch_size=ids.shape[0],
            length=self.decoder.num_codes,
            mask_id=self.decoder.mask_id,
            config=decoding,
            generator=generator,
            on_step=on_step,
        )

    @torch.no_grad()
    def decode(
        self,
        ids: Tensor,
        decoding: DecodingConfig | None = None,
        generator: torch.Generator | None = None,
        *,
        steps: int | None = None,
    ) -> Tensor:
        """Decode token ids, int64 `[B, K]`, to images `[B, 3, H, W]` in [0, 1].

        Args:
            ids: from `encode`.
            decoding: None means `self.decoding`.
            generator: source of the noise, on the ids' device; None means a new one with seed 0.
            steps: overrides those of `decoding`.

        Raises:
            ConfigError: `steps` is less than 1.
            ValueError: `ids` do not have K ids per image, or are out of range.
        """
        decoding = decoding or self.decoding
        if steps is not None:
            decoding = DecodingConfig.build({**decoding.model_dump(), "steps": steps})
        generator = generator or torch.Generator(ids.device).manual_seed(0)
        unmasked = self.decode_codes(ids, decoding, generator)
        if decoding.final_lookup == "soft":
            return self.pixel_decoder.decode_soft(unmasked.logits).clamp(0, 1)
        return self.pixel_decoder.decode_codes(unmasked.ids).clamp(0, 1)

    def reconstruct(
        self,
        images: Tensor,
        decoding: DecodingConfig | None = None,
        generator: torch.Generator | None = None,
        *,
        steps: int | None = None,
    ) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] and decode their tokens, with the arguments of `decode`."""
        return self.decode(self.encode(images), decoding, generator, steps=steps)


SFTOK_B = SFTokConfig(image_size=MASKGIT_VQGAN.image_size, pixel_decoder=MASKGIT_VQGAN.backbone)
SFTOK_L = SFTOK_B.model_copy(update={"decoder": ViTDecoderConfig(width=1024, depth=24, heads=16)})
SIZES = {"sftok-b": SFTOK_B, "sftok-l": SFTOK_L}
"""The paper's models by name; they differ only in the decoder (Section 4.1)."""
