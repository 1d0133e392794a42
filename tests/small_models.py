"""The smallest models of every kind, which all tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from sftok.data.base import MemoryImageSet
from sftok.generators.base import GeneratorRecord
from sftok.generators.maskgit import MaskGITConfig
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.maskgit_vqgan import MaskGITVQGANRecord, VQGANConfig
from sftok.quantizers.optvq import OptVQConfig
from sftok.tokenizers.sftok import SFTokConfig

BACKBONE = VQGANConfig(
    hidden_channels=8,
    channel_multipliers=(1, 1, 2),
    num_res_blocks=1,
    code_dim=6,
    codebook_size=24,
    norm_groups=4,
)
TEACHER = MaskGITVQGANRecord(image_size=16, backbone=BACKBONE)

M = TypeVar("M", bound=nn.Module)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=seeded(seed))


def perturbed(model: M, scale: float = 0.3) -> M:
    """`model` with noise on its weights; as initialized, many predict the same everywhere."""
    for weight in model.parameters():
        weight.data.add_(scale * draw(*weight.shape, seed=weight.numel()))
    return model


def image_set(count: int, side: int, classes: int = 2, seed: int = 0) -> MemoryImageSet:
    """Noise, of every class in turn."""
    pixels = torch.randint(256, (count, 3, side, side), generator=seeded(seed), dtype=torch.uint8)
    return MemoryImageSet("noise", tuple("abcd"[:classes]), pixels, torch.arange(count) % classes)


def live_images(side: int) -> int:
    """Bytes of the float images of `side` pixels that are alive anywhere in this process."""
    found = {}
    for each in gc.get_objects():
        if type(each) is torch.Tensor and each.dtype == torch.float32 and each.shape[1:] == (3, side, side):
            storage = each.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


class Malicious:
    """Makes the folder `trace` when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def sftok_config(depth: int = 1, **changes: Any) -> SFTokConfig:
    """4 latent tokens of 8 channels and 32 codes, for 16 teacher codes of 24, on images of 16 pixels."""
    shape = {"width": 16, "depth": depth, "heads": 2}
    return SFTokConfig(
        **{
            "image_size": TEACHER.image_size,
            "num_latent_tokens": 4,
            "token_dim": 8,
            "encoder": ViTEncoderConfig(patch_size=4, **shape),
            "quantizer": OptVQConfig(codebook_size=32),
            "decoder": ViTDecoderConfig(**shape),
            "pixel_decoder": BACKBONE,
            **changes,
        }
    )


def smaller_sftok_config() -> SFTokConfig:
    """2 latent tokens of 4 channels and 8 codes, for 16 teacher codes of 8, on images of 8 pixels."""
    shape = {"width": 8, "depth": 1, "heads": 2}
    size = {"hidden_channels": 4, "channel_multipliers": (1, 2), "code_dim": 4, "codebook_size": 8}
    return SFTokConfig(
        image_size=8,
        num_latent_tokens=2,
        token_dim=4,
        encoder=ViTEncoderConfig(patch_size=4, **shape),
        quantizer=OptVQConfig(codebook_size=8),
        decoder=ViTDecoderConfig(**shape),
        pixel_decoder=BACKBONE.model_copy(update={**size, "norm_groups": 2}),
    )


def generator_record(
    num_tokens: int = 4, vocabulary: int = 8, num_classes: int = 3, **changes: Any
) -> GeneratorRecord:
    """A MaskGIT generator without dropout, one block deep."""
    model = MaskGITConfig(**{"width": 16, "depth": 1, "heads": 2, "dropout": 0.0, **changes})
    return GeneratorRecord(model=model, num_tokens=num_tokens, vocabulary=vocabulary, num_classes=num_classes)


def released(numbers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights among `numbers`, by their names in the release."""
    return {name.removeprefix("weights."): value for name, value in numbers.items() if name[0] == "w"}
