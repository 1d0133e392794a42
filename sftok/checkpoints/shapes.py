"""The configuration of a released model, read off the shapes of its tensors (in this package's names).

What shapes do not tell is as in the release: heads 64 wide (in the generator 16 of them), 32 groups in every
norm of the VQGAN, and for each family its latent layout, its norm of codes and the lookup that its pixel
decoder was trained with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sftok.released import ReleasedWeightsError

HEAD_WIDTH = 64
GENERATOR_HEADS = 16
NORM_GROUPS = 32
CODES_PER_SIDE = 16

Tensors = Mapping[str, Tensor]
Record = dict[str, Any]


def released_sftok(tensors: Tensors) -> Record:
    """Of an SFTok; without `pixel_decoder` if the checkpoint is of stage 1 or 2.

    The encoder has the legacy latent layout. With a pixel decoder (stage 3) decoding ends in the soft lookup,
    which that decoder was trained with.

    Raises:
        ReleasedWeightsError: a tensor is missing or of a shape that no model has.
    """
    _, width = _shape(tensors, "decoder.embed_codes.weight", 2)
    codebook_size, _ = _shape(tensors, "quantizer.embedding", 2)
    record: Record = {
        **_encoder(tensors, "legacy"),
        "quantizer": {"name": "optvq", "codebook_size": codebook_size},
        "decoder": {"name": "vit", **_transformer(tensors, "decoder", width)},
    }
    if any(name.startswith("pixel_decoder.") for name in tensors):
        record["pixel_decoder"] = _backbone(tensors, "pixel_decoder")
        record["decoding"] = {"final_lookup": "soft"}
    return record


def released_titok_codes(tensors: Tensors) -> Record:
    """Of a TiTok that ends in the VQGAN's pixel decoder: legacy latent layout, codes of length 1.

    Raises:
        ReleasedWeightsError: as `released_sftok`.
    """
    record = _titok(tensors, "legacy", use_l2_norm=True)
    pixels = _backbone(tensors, "head.pixel_decoder")
    return {**record, "head": {"kind": "codes", "pixel_decoder": pixels}}


def released_titok_pixels(tensors: Tensors) -> Record:
    """Of a TiTok that predicts pixels: straight latent layout, codes of any length.

    Raises:
        ReleasedWeightsError: as `released_sftok`.
    """
    record = _titok(tensors, "straight", use_l2_norm=False)
    outputs, _ = _shape(tensors, "head.to_pixels.weight", 2)
    patch_size = _root(outputs // 3, "head.to_pixels.weight")
    return {**record, "head": {"kind": "pixels", "patch_size": patch_size}}


def released_maskgit_vqgan(tensors: Tensors) -> Record:
    """Of the teacher. Its image size is not in its weights; as released, 16 codes a side.

    Raises:
        ReleasedWeightsError: as `released_sftok`.
    """
    backbone = _backbone(tensors, "pixel_decoder")
    return {
        "image_size": CODES_PER_SIDE * 2 ** (len(backbone["channel_multipliers"]) - 1),
        "backbone": backbone,
    }


def released_maskgit_generator(tensors: Tensors) -> Record:
    """Of a class-conditional generator.

    Raises:
        ReleasedWeightsError: as `released_sftok`.
    """
    positions, width = _shape(tensors, "position_embedding", 2)
    classes, _ = _shape(tensors, "class_embedding.weight", 2)
    vocabulary, _ = _shape(tensors, "head.weight", 2)
    hidden, _ = _shape(tensors, "blocks.0.mlp.fc1.weight", 2)
    if width % GENERATOR_HEADS:
        raise ReleasedWeightsError(
            f"it is {width} wide, which {GENERATOR_HEADS} heads do not divide: give its configuration"
        )
    model = {
        "name": "maskgit",
        "width": width,
        "depth": _count(tensors, "blocks"),
        "heads": GENERATOR_HEADS,
        "mlp_ratio": hidden // width,
        "dropout": 0.1,
    }
    return {
        "model": model,
        "num_tokens": positions - 1,
        "vocabulary": vocabulary,
        "num_classes": classes - 1,
    }


def _titok(tensors: Tensors, latent_layout: str, use_l2_norm: bool) -> Record:
    _, width = _shape(tensors, "decoder.patch_positions", 2)
    codebook_size, _ = _shape(tensors, "quantizer.embedding", 2)
    return {
        **_encoder(tensors, latent_layout),
        "quantizer": {"name": "vq", "codebook_size": codebook_size, "use_l2_norm": use_l2_norm},
        "decoder": _transformer(tensors, "decoder", width),
    }


def _encoder(tensors: Tensors, latent_layout: str) -> Record:
    """The encoder's part of a tokenizer's record, the sizes of images and tokens included."""
    width, _, patch_size, _ = _shape(tensors, "encoder.patch_embed.weight", 4)
    positions, _ = _shape(tensors, "encoder.image_positions", 2)
    queries, _ = _shape(tensors, "encoder.queries", 2)
    token_dim, _ = _shape(tensors, "encoder.to_latents.weight", 2)
    return {
        "image_size": patch_size * _root(positions - 1, "encoder.image_positions"),
        "num_latent_tokens": queries,
        "token_dim": token_dim,
        "encoder": {
            "name": "vit",
            "patch_size": patch_size,
            "latent_layout": latent_layout,
            **_transformer(tensors, "encoder", width),
        },
    }


def _transformer(tensors: Tensors, part: str, width: int) -> Record:
    # Of a width that no released model has, the heads are left to who knows them: None is refused.
    heads = None if width % HEAD_WIDTH else width // HEAD_WIDTH
    return {"width": width, "depth": _count(tensors, rf"{part}\.blocks"), "heads": heads}


def _backbone(tensors: Tensors, part: str) -> Record:
    codebook_size, code_dim = _shape(tensors, f"{part}.codebook", 2)
    channels = [
        _shape(tensors, f"{part}.up.{level}.0.conv1.weight", 4)[0]
        for level in range(_count(tensors, rf"{part}\.up"))
    ]
    if not channels or any(width % channels[0] for width in channels):
        raise ReleasedWeightsError(
            f"the levels of its {part} have {channels} channels, no multiples of the first"
        )
    return {
        "name": "maskgit-vqgan",
        "hidden_channels": channels[0],
        "channel_multipliers": [width // channels[0] for width in channels],
        "num_res_blocks": _count(tensors, rf"{part}\.mid"),
        "code_dim": code_dim,
        "codebook_size": codebook_size,
        "norm_groups": NORM_GROUPS,
    }


def _shape(tensors: Tensors, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in tensors:
        raise ReleasedWeightsError(f"a tensor is missing, {name} in this package's names")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise ReleasedWeightsError(
            f"{name} (in this package's names) has shape {shape}, not {dimensions} dimensions"
        )
    if 0 in shape:
        raise ReleasedWeightsError(f"{name} (in this package's names) has shape {shape}: it is empty")
    return shape


def _count(tensors: Tensors, prefix: str) -> int:
    """How many numbered parts follow `prefix`."""
    found = (re.match(rf"{prefix}\.(\d+)\.", name) for name in tensors)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _root(count: int, name: str) -> int:
    side = math.isqrt(max(count, 0))
    if side**2 != count or side == 0:
        raise ReleasedWeightsError(
            f"{name} (in this package's names) says {count} patches, which are no square"
        )
    return side
