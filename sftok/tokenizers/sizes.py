"""The tokenizers of Table 1 that are trained on pixels, as released, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftok.models.autoencoders.imagefolder import ImageFolderConfig
from sftok.models.autoencoders.maskbit import MaskBitConfig
from sftok.models.autoencoders.open_magvit2 import OpenMAGVIT2Config
from sftok.models.autoencoders.taming import TamingConfig
from sftok.models.autoencoders.vit_vqgan import ViTVQGANConfig
from sftok.quantizers.fsq import FSQConfig
from sftok.quantizers.lfq import LFQConfig
from sftok.quantizers.multiscale import MultiscaleConfig
from sftok.quantizers.projected import ProjectedConfig
from sftok.quantizers.residual import ResidualConfig
from sftok.quantizers.vq import VQConfig
from sftok.tokenizers.pixel import PixelTokenizerConfig


def _taming_vq(codebook_size: int) -> VQConfig:
    """The quantizer of taming-transformers, whose loss has the weights of VQ-VAE swapped."""
    return VQConfig(codebook_size=codebook_size, use_l2_norm=False, commitment_cost=1.0, codebook_cost=0.25)


def _movq(hidden_channels: int) -> PixelTokenizerConfig:
    """A release of MoVQ, which has no multichannel quantization."""
    return _of_256_pixels(
        autoencoder=TamingConfig(
            hidden_channels=hidden_channels,
            channel_multipliers=(1, 2, 2, 4),
            attention_levels=(3,),
            z_channels=4,
            decoder_norm="spatial",
        ),
        quantizer=_taming_vq(16384),
        latent_dim=4,
    )


def _cosmos(halvings: int | None) -> PixelTokenizerConfig:
    """COSMOS at 8 (one halving) or 16 (a halving between all levels) pixels per code."""
    return _of_256_pixels(
        autoencoder=TamingConfig(
            channel_multipliers=(2, 4, 4), attention_levels=(), halvings=halvings, haar_levels=2
        ),
        quantizer=FSQConfig(levels=(8, 8, 8, 5, 5, 5)),
        latent_dim=6,
    )


def _of_256_pixels(**parts: Any) -> PixelTokenizerConfig:
    return PixelTokenizerConfig(image_size=256, **parts)


PIXEL_SIZES: Mapping[str, PixelTokenizerConfig] = {
    "vqgan-f16": _of_256_pixels(autoencoder=TamingConfig(), quantizer=_taming_vq(16384), latent_dim=256),
    "vit-vqgan-base": _of_256_pixels(
        autoencoder=ViTVQGANConfig(),
        quantizer=VQConfig(codebook_size=8192, initial_codes="normal", straight_through="latents"),
        latent_dim=32,
    ),
    "movq-270m": _movq(256),
    "movq-67m": _movq(128),
    "imagefolder": _of_256_pixels(
        autoencoder=ImageFolderConfig(), quantizer=MultiscaleConfig(), latent_dim=64
    ),
    "rq-vae": _of_256_pixels(
        autoencoder=TamingConfig(channel_multipliers=(1, 1, 2, 2, 4, 4), attention_levels=(5,)),
        quantizer=ResidualConfig(),
        latent_dim=256,
    ),
    "maskbit-12bit": _of_256_pixels(
        autoencoder=MaskBitConfig(),
        quantizer=LFQConfig(bits=12, entropy_weight=0.02, entropy_form="clamped", entropy_boost=2.0),
        latent_dim=12,
    ),
    "cosmos-di8": _cosmos(1),
    "cosmos-di16": _cosmos(None),
    "vqgan-lc-f16": _of_256_pixels(autoencoder=TamingConfig(), quantizer=ProjectedConfig(), latent_dim=8),
    "llamagen-vq16": _of_256_pixels(
        autoencoder=TamingConfig(),
        quantizer=VQConfig(codebook_size=16384, initial_codes="unit"),
        latent_dim=8,
    ),
    "open-magvit2": _of_256_pixels(autoencoder=OpenMAGVIT2Config(), quantizer=LFQConfig(), latent_dim=18),
    "ldm-4-vq": _of_256_pixels(
        autoencoder=TamingConfig(channel_multipliers=(1, 2, 4), attention_levels=(), z_channels=3),
        quantizer=_taming_vq(8192),
        latent_dim=3,
    ),
}
"""Sizes of TiTok and SFTok are defined with their models, because they decode through a teacher's codes."""
