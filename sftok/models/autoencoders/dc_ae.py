"""The deep-compression autoencoder (DC-AE, arXiv 2410.10733), built from diffusers' parts.

Residual autoencoding (its Section 3.2): every change of resolution has a shortcut without weights. On the way
down, it moves space to channels and averages groups of channels; on the way up, it repeats channels and moves
them to space. The coarse stages attend to all positions by linear attention.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.extras import require
from sftok.models.autoencoders.base import AutoencoderConfig, to_grid, to_sequence
from sftok.randomness import initialization_from

BLOCKS = ("ResBlock", "EfficientViTBlock")
ACTIVATIONS = {"rms_norm": "silu", "batch_norm": "relu"}


class DCAEConfig(AutoencoderConfig, name="dc-ae"):
    """The shape of both halves. The defaults are the published f32 models for ImageNet, except for the norm.

    Attributes:
        channels: one width per stage, stage 0 at full resolution; each but the last halves the grid.
        encoder_blocks: blocks per stage; stage 0 may have none, and then only changes the resolution.
        decoder_blocks: the same for the decoder.
        attention_stages: number of stages, the coarsest ones, that have attention instead of residual blocks.
        head_dim: channels of an attention head.
        decoder_norm: norm of the decoder's residual blocks. The published f32c32-in-1.0 has "batch_norm" and
            ReLU there; "rms_norm" (with SiLU) treats each image independently.
        resampling: "shuffle" moves space to channels and back. The published f32c32-sana-1.0 has
            "convolution": with stride 2 on the way down, after nearest-neighbor upsampling on the way up.
        attention_scales: kernel sizes of the depthwise convolutions that add further queries, keys and
            values to attention; (5,) in f32c32-sana-1.0.
    """

    channels: tuple[int, ...] = Field(default=(128, 256, 512, 512, 1024, 1024), min_length=2)
    encoder_blocks: tuple[int, ...] = (0, 4, 8, 2, 2, 2)
    decoder_blocks: tuple[int, ...] = (0, 5, 10, 2, 2, 2)
    attention_stages: int = Field(default=3, ge=0)
    head_dim: int = Field(default=32, ge=1)
    decoder_norm: Literal["rms_norm", "batch_norm"] = "rms_norm"
    resampling: Literal["shuffle", "convolution"] = "shuffle"
    attention_scales: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        stages = len(self.channels)
        for name in ("encoder_blocks", "decoder_blocks"):
            blocks = getattr(self, name)
            if len(blocks) != stages or blocks[0] < 0 or min(blocks[1:]) < 1:
                raise ValueError(
                    f"{name} {list(blocks)}: one number per stage ({stages}); only the first may be 0"
                )
        if self.attention_stages > stages:
            raise ValueError(f"attention_stages {self.attention_stages} is more than {stages} stages")
        if min(self.channels) < 1:
            raise ValueError(f"channels {list(self.channels)}: every stage needs at least 1")
        for fine, coarse in pairwise(self.channels):
            if coarse % 4 or 4 * fine % coarse or 4 * coarse % fine:
                raise ValueError(
                    f"channels {list(self.channels)}: no shortcut without weights from {fine} to {coarse}"
                )
        if any(scale < 1 or scale % 2 == 0 for scale in self.attention_scales):
            raise ValueError(f"attention_scales {list(self.attention_scales)}: kernel sizes must be odd")
        for width in self.channels[stages - self.attention_stages :]:
            if width % self.head_dim:
                raise ValueError(f"head_dim {self.head_dim} does not divide {width} channels")
        return self

    @property
    def factor(self) -> int:
        """Pixels per side covered by a latent."""
        return 2 ** (len(self.channels) - 1)

    def grid(self, image_size: int) -> int:
        """Return the number of latents per side; images are padded to the next multiple of `factor`."""
        return -(-image_size // self.factor)

    def num_latents(self, image_size: int) -> int:
        """Return the number of latents per image, N."""
        return self.grid(image_size) ** 2

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject latents that do not fit the shortcuts.

        Raises:
            ValueError: `latent_dim` does not divide the channels of the last stage.
        """
        if self.channels[-1] % latent_dim:
            raise ValueError(
                f"latent_dim {latent_dim} does not divide {self.channels[-1]}, the channels of the last stage"
            )

    def check_weights(self) -> None:
        """Check that diffusers is installed; raises MissingLibraryError if not."""
        require("diffusers")

    @property
    def stage_kinds(self) -> tuple[str, ...]:
        """diffusers' names for the blocks of each stage."""
        attending = len(self.channels) - self.attention_stages
        return tuple(BLOCKS[stage >= attending] for stage in range(len(self.channels)))

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> DCAEEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return DCAEEncoder(self, image_size, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> DCAEDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return DCAEDecoder(self, image_size, latent_dim, generator)


class DCAEEncoder(nn.Module):
    """Maps images, padded with black to a multiple of the factor, to latents."""

    def __init__(
        self,
        config: DCAEConfig,
        image_size: int,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        require("diffusers")
        from diffusers.models.autoencoders import autoencoder_dc

        super().__init__()
        self.padding = _padding(config, image_size)
        with initialization_from(generator):
            self.network = autoencoder_dc.Encoder(
                in_channels=3,
                layers_per_block=config.encoder_blocks,
                downsample_block_type="pixel_unshuffle" if config.resampling == "shuffle" else "conv",
                **_common(config, latent_dim),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        return to_sequence(self.network(2 * F.pad(images, self.padding) - 1))


class DCAEDecoder(nn.Module):
    """Maps latents to images, without their padding."""

    def __init__(
        self,
        config: DCAEConfig,
        image_size: int,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        require("diffusers")
        from diffusers.models.autoencoders import autoencoder_dc

        super().__init__()
        self.grid = config.grid(image_size)
        self.cropping = tuple(-side for side in _padding(config, image_size))
        norms = [config.decoder_norm if kind == BLOCKS[0] else "rms_norm" for kind in config.stage_kinds]
        with initialization_from(generator):
            self.network = autoencoder_dc.Decoder(
                in_channels=3,
                layers_per_block=config.decoder_blocks,
                norm_type=tuple(norms),
                act_fn=tuple(ACTIVATIONS[norm] for norm in norms),
                upsample_block_type="pixel_shuffle" if config.resampling == "shuffle" else "interpolate",
                **_common(config, latent_dim),
            )

    def forward(self, latents: Tensor) -> Tensor:
        """Decode latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        return F.pad((self.network(to_grid(latents, self.grid)) + 1) / 2, self.cropping)


def _common(config: DCAEConfig, latent_dim: int) -> dict[str, Any]:
    return {
        "latent_channels": latent_dim,
        "attention_head_dim": config.head_dim,
        "block_type": config.stage_kinds,
        "block_out_channels": config.channels,
        "qkv_multiscales": (config.attention_scales,) * len(config.channels),
    }


def _padding(config: DCAEConfig, image_size: int) -> tuple[int, int, int, int]:
    """Return the padding in pixels at the left, right, top and bottom."""
    missing = config.grid(image_size) * config.factor - image_size
    before, after = missing // 2, missing - missing // 2
    return before, after, before, after
