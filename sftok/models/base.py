"""Families of networks: encoders, decoders and backbones, with the configurations that build them.

A new member is one file: a module, and a configuration that builds it.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.components import Component


class Encoder(nn.Module):
    """f_e of the paper: images `[B, 3, H, W]` in [0, 1] to K continuous latent tokens `[B, K, Dq]`."""

    def __init__(
        self, config: EncoderConfig, image_size: int, num_latent_tokens: int, token_dim: int
    ) -> None:
        super().__init__()
        self.config = config
        self.image_size = image_size
        self.num_latent_tokens = num_latent_tokens
        self.token_dim = token_dim


class EncoderConfig(Component, family="encoder", package="sftok.models"):
    """How images become latent tokens."""

    def check(self, image_size: int) -> None:
        """Reject images that the encoder cannot divide evenly.

        Raises:
            ValueError: the image size does not fit.
        """

    @abstractmethod
    def build(
        self,
        image_size: int,
        num_latent_tokens: int,
        token_dim: int,
        generator: torch.Generator | None = None,
    ) -> Encoder:
        """Build an encoder of square images, with weights drawn from `generator` (None: seed 0)."""


class Decoder(nn.Module):
    """f_d of the paper: codes, some of them masked, and quantized latent tokens to logits.

    `forward(code_ids, quantized)` takes int64 `[B, N]` in 0..V, where V marks a masked code, and
    `[B, K, Dq]`; it returns logits `[B, N, V]`.
    """

    def __init__(self, config: DecoderConfig, num_codes: int, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.num_codes = num_codes
        self.vocabulary = vocabulary

    @property
    def mask_id(self) -> int:
        """The id of an unknown code: V, one past the vocabulary."""
        return self.vocabulary

    def first_pass(self, quantized: Tensor) -> Tensor:
        """Return logits `[B, N, V]` given the tokens `[B, K, Dq]` alone, every code masked: M_1 of 3.2."""
        masked = torch.full((len(quantized), self.num_codes), self.mask_id, device=quantized.device)
        return self(masked, quantized)

    @torch.no_grad()
    def first_prediction(self, quantized: Tensor) -> Tensor:
        """Return the most likely codes, int64 `[B, N]`, of the first pass, without gradient."""
        return self.first_pass(quantized).float().argmax(-1)


class DecoderConfig(Component, family="decoder", package="sftok.models"):
    """How latent tokens and known codes determine the distribution of every code."""

    @abstractmethod
    def build(
        self,
        num_latent_tokens: int,
        token_dim: int,
        num_codes: int,
        vocabulary: int,
        generator: torch.Generator | None = None,
    ) -> Decoder:
        """Build a decoder with weights drawn from `generator` (None: seed 0)."""


class PixelDecoder(nn.Module):
    """Maps a grid of codes to images: the codebook, and the network that turns its vectors into pixels.

    Subclasses implement `decode_embeddings`: `[B, C, h, w]` to `[B, 3, H, W]`, not clamped.
    """

    def __init__(self, config: BackboneConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.image_size = image_size
        self.codebook = nn.Parameter(torch.empty(config.codebook_size, config.code_dim))

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Decode codes, int64 `[B, N]`, to images `[B, 3, H, W]`, not clamped."""
        return self.decode_embeddings(self._grid(self.codebook[codes]))

    def decode_soft(self, logits: Tensor) -> Tensor:
        """Decode the expected embeddings under logits `[B, N, V]` to images `[B, 3, H, W]`, not clamped."""
        with torch.autocast(logits.device.type, enabled=False):
            embeddings = logits.float().softmax(-1) @ self.codebook
        return self.decode_embeddings(self._grid(embeddings))

    def decode_embeddings(self, embeddings: Tensor) -> Tensor:
        """Decode embeddings `[B, C, h, w]` to images `[B, 3, H, W]`, not clamped."""
        raise NotImplementedError

    def _grid(self, embeddings: Tensor) -> Tensor:
        return rearrange(embeddings, "b (h w) c -> b c h w", h=self.config.code_grid(self.image_size))


class BackboneConfig(Component, family="backbone", package="sftok.models"):
    """The two halves of a 2D tokenizer: images to a grid of codes, and back.

    Attributes:
        code_dim: channels of a code, C.
        codebook_size: number of codes, V.
        commitment_cost: weight of the commitment loss if the 2D tokenizer itself is trained.
    """

    code_dim: int = Field(default=256, ge=1)
    codebook_size: int = Field(default=1024, ge=2)
    commitment_cost: float = Field(default=0.25, ge=0)

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per side covered by one code."""

    def code_grid(self, image_size: int) -> int:
        """Return the number of codes per side."""
        return image_size // self.factor

    def num_codes(self, image_size: int) -> int:
        """Return the number of codes per image, N."""
        return self.code_grid(image_size) ** 2

    def check(self, image_size: int) -> None:
        """Reject images that codes do not cover evenly.

        Raises:
            ValueError: `image_size` is not a multiple of `factor`.
        """
        if image_size % self.factor:
            raise ValueError(
                f"image_size {image_size} is not a multiple of {self.factor}, the pixels per side of a code"
            )

    @abstractmethod
    def build_encoder(self, generator: torch.Generator | None = None) -> nn.Module:
        """Build the encoder: images `[B, 3, H, W]` in [0, 1] to continuous codes `[B, C, h, w]`."""

    @abstractmethod
    def build_decoder(self, image_size: int, generator: torch.Generator | None = None) -> PixelDecoder:
        """Build the codebook and the decoder to images of `image_size` pixels per side."""
