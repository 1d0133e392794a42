"""Opens any tokenizer by one string: a file, a folder, a hub id, or `random:NAME` for new weights.

```
open_tokenizer("runs/artifacts/stage-.../model.safetensors")
open_tokenizer("sftok_b64.bin")          # as released; the names are converted
open_tokenizer("org/name")               # from the Hugging Face hub
open_tokenizer("random:sftok-b", seed=1) # the full-size model before training
```
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from sftok.checkpoints import CheckpointError, read_checkpoint
from sftok.config import choices_hint
from sftok.io.weights import content_hash
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN, MaskGITVQGAN
from sftok.quantizers.projected import ProjectedConfig
from sftok.tokenizers.pixel import PixelTokenizer
from sftok.tokenizers.sftok import SIZES, SFTok
from sftok.tokenizers.sizes import PIXEL_SIZES
from sftok.tokenizers.titok import TITOK_SIZES, TiTok

__all__ = ["CheckpointError", "Tokenizer", "identity", "open_tokenizer"]

Tokenizer = SFTok | TiTok | MaskGITVQGAN | PixelTokenizer
"""Maps images to ids and ids to images: `encode`, `decode`, `image_size`, `num_tokens`, `codebook_size`."""

TOKENIZERS: Mapping[str, type[Tokenizer]] = {
    kind.architecture: kind for kind in (SFTok, TiTok, MaskGITVQGAN, PixelTokenizer)
}
"""The models by the name of their architecture."""

RANDOM = "random:"
FULL_SIZES: Mapping[str, Callable[[torch.Generator], Tokenizer]] = {
    **{name: partial(SFTok.from_config, config) for name, config in SIZES.items()},
    **{name: partial(TiTok.from_config, config) for name, config in TITOK_SIZES.items()},
    MaskGITVQGAN.architecture: partial(MaskGITVQGAN.from_config, MASKGIT_VQGAN),
    **{
        name: partial(PixelTokenizer.from_config, config)
        for name, config in PIXEL_SIZES.items()
        if not isinstance(config.quantizer, ProjectedConfig)
    },
}
"""Builders for `random:NAME`, given a generator: every full size whose codebook can be drawn."""


def open_tokenizer(reference: str | Path, seed: int = 0, teacher: str | Path | None = None) -> Tokenizer:
    """Open the tokenizer that `reference` names, in evaluation mode, on the CPU, in float32.

    Args:
        reference: as for `Pretrained.from_pretrained`, or `random:NAME` with NAME one of `FULL_SIZES`.
        seed: seed of random weights.
        teacher: as for `Pretrained.from_pretrained`.

    Raises:
        CheckpointError: the one-line message gives the reference, the cause and the remedy.
    """
    text = str(reference)
    if not text.startswith(RANDOM):
        checkpoint = read_checkpoint(text, teacher)
        if checkpoint.architecture not in TOKENIZERS:
            raise CheckpointError(
                f"{checkpoint.source}: a {checkpoint.architecture!r}, which is not a tokenizer"
            )
        return TOKENIZERS[checkpoint.architecture].from_checkpoint(checkpoint)
    name = text.removeprefix(RANDOM)
    if name not in FULL_SIZES:
        raise CheckpointError(f"{text}: not a model to draw weights for; {choices_hint(name, FULL_SIZES)}")
    if teacher is not None:
        raise CheckpointError(f"{text}: needs no teacher's file; leave it out")
    return FULL_SIZES[name](torch.Generator().manual_seed(seed)).eval()


def identity(tokenizer: Tokenizer) -> str:
    """SHA-256 (hex) of weights and configuration; tokenizers with the same identity give the same ids."""
    record = json.dumps([tokenizer.architecture, tokenizer.record.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(f"{record} {content_hash(tokenizer.state_dict())}".encode()).hexdigest()
