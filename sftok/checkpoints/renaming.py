"""Shared by the files of released systems: renaming tensors, and inferring sizes from their shapes.

Every tensor must match a rule; leftover tensors are an error, so nothing is silently dropped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Record = dict[str, Any]

HEAD_WIDTH = 64
"""Width of a head in every released Vision Transformer; the weights do not determine it."""


class ReleasedWeightsError(ValueError):
    """Tensors that the released system does not have."""


class Rule(NamedTuple):
    """Renames a tensor whose whole name matches `pattern`; if `ours` is None, the tensor is dropped."""

    pattern: str
    ours: str | Callable[[re.Match[str]], str] | None
    reshape: Callable[[Tensor], Tensor] = lambda tensor: tensor


def rename(released: Tensors, rules: Sequence[Rule]) -> dict[str, Tensor]:
    """`released` tensors under this package's names.

    Raises:
        ReleasedWeightsError: a tensor matches no rule.
    """
    ours: dict[str, Tensor] = {}
    leftovers = []
    for name, tensor in released.items():
        rule = next((rule for rule in rules if re.fullmatch(rule.pattern, name)), None)
        if rule is None:
            leftovers.append(name)
        elif rule.ours is not None:
            ours[re.sub(rule.pattern, rule.ours, name)] = rule.reshape(tensor)
    if leftovers:
        shown = ", ".join(sorted(leftovers)[:5])
        raise ReleasedWeightsError(f"{len(leftovers)} tensors belong to no part of the model: {shown}")
    return ours


def pointwise(kernel: Tensor) -> Tensor:
    """The weight of a 1x1 convolution `[out, in, 1, 1]` as a linear layer's."""
    if kernel.dim() < 2:
        raise ReleasedWeightsError(f"the weight of a 1x1 convolution has shape {tuple(kernel.shape)}")
    return kernel.flatten(1)


def join(tensors: dict[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """Concatenate tensors that rules named `NAME/PART`, in the order of `parts`, into the tensor `NAME`.

    Raises:
        ReleasedWeightsError: parts are missing or their shapes do not match.
    """
    try:
        for joint in {name.rpartition("/")[0] for name in tensors if "/" in name}:
            tensors[joint] = torch.cat([tensors.pop(f"{joint}/{part}") for part in parts])
    except KeyError as missing:
        raise ReleasedWeightsError(
            f"a tensor is missing, {missing.args[0]} in this package's names"
        ) from None
    except (RuntimeError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ReleasedWeightsError(f"its tensors do not fit each other ({reason})") from None
    return tensors


def vision_transformer(part: str) -> list[Rule]:
    """Rules for the transformer of TiTok's code base, under `part` in both."""
    block = rf"{part}\.transformer\.(\d+)"
    return [
        Rule(rf"{block}\.ln_([12])\.(weight|bias)", rf"{part}.blocks.\1.norm\2.\3"),
        Rule(rf"{block}\.attn\.in_proj_(weight|bias)", rf"{part}.blocks.\1.attn.qkv.\2"),
        Rule(rf"{block}\.attn\.out_proj\.(weight|bias)", rf"{part}.blocks.\1.attn.proj.\2"),
        Rule(rf"{block}\.mlp\.c_fc\.(weight|bias)", rf"{part}.blocks.\1.mlp.fc1.\2"),
        Rule(rf"{block}\.mlp\.c_proj\.(weight|bias)", rf"{part}.blocks.\1.mlp.fc2.\2"),
        Rule(rf"{part}\.ln_pre\.(weight|bias)", rf"{part}.norm_in.\1"),
        Rule(rf"{part}\.ln_post\.(weight|bias)", rf"{part}.norm_out.\1"),
        Rule(rf"{part}\.class_embedding", f"{part}.class_token"),
    ]


def llama_blocks(theirs: str, ours: str) -> list[Rule]:
    """Rules for the Llama blocks of LlamaGen's code base, whose tensors have the same names here."""
    part = "(attention_norm|ffn_norm|attention\\.w(?:qkv|o)|feed_forward\\.w[123])"
    return [Rule(rf"{theirs}\.(\d+)\.{part}\.weight", rf"{ours}.\1.\2.weight")]


ENCODER: list[Rule] = [
    Rule("latent_tokens", "encoder.queries"),
    *vision_transformer("encoder"),
    Rule(r"encoder\.positional_embedding", "encoder.image_positions"),
    Rule(r"encoder\.latent_token_positional_embedding", "encoder.query_positions"),
    Rule(r"encoder\.patch_embed\.(weight|bias)", r"encoder.patch_embed.\1"),
    Rule(r"encoder\.conv_out\.weight", "encoder.to_latents.weight", pointwise),
    Rule(r"encoder\.conv_out\.bias", "encoder.to_latents.bias"),
]
"""Rules for the encoder of TiTok, which SFTok shares."""


def encoder_record(tensors: Tensors, latent_layout: str) -> Record:
    """Infer the encoder's part of a tokenizer's record, with the sizes of images and tokens."""
    width, _, patch_size, _ = shape(tensors, "encoder.patch_embed.weight", 4)
    positions, _ = shape(tensors, "encoder.image_positions", 2)
    queries, _ = shape(tensors, "encoder.queries", 2)
    token_dim, _ = shape(tensors, "encoder.to_latents.weight", 2)
    return {
        "image_size": patch_size * square_root(positions - 1, "encoder.image_positions"),
        "num_latent_tokens": queries,
        "token_dim": token_dim,
        "encoder": {
            "name": "vit",
            "patch_size": patch_size,
            "latent_layout": latent_layout,
            **transformer_record(tensors, "encoder", width),
        },
    }


def transformer_record(tensors: Tensors, part: str, width: int) -> Record:
    """Infer width, depth and heads; heads is None, which is rejected, if no released model has that width."""
    heads = None if width % HEAD_WIDTH else width // HEAD_WIDTH
    return {"width": width, "depth": count(tensors, rf"{part}\.blocks"), "heads": heads}


def shape(tensors: Tensors, name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor, given by its name in this package.

    Raises:
        ReleasedWeightsError: the tensor is missing, empty, or has another number of dimensions.
    """
    if name not in tensors:
        raise ReleasedWeightsError(f"a tensor is missing, {name} in this package's names")
    found = tuple(tensors[name].shape)
    if len(found) != dimensions:
        raise ReleasedWeightsError(
            f"{name} (in this package's names) has shape {found}, not {dimensions} dimensions"
        )
    if 0 in found:
        raise ReleasedWeightsError(f"{name} (in this package's names) has shape {found}: it is empty")
    return found


def count(tensors: Tensors, prefix: str) -> int:
    """Return the number of numbered parts under `prefix`."""
    found = (re.match(rf"{prefix}\.(\d+)\.", name) for name in tensors)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def square_root(number: int, name: str) -> int:
    """Return the number of patches per side, given the `number` of positions in the tensor `name`.

    Raises:
        ReleasedWeightsError: `number` is not a square.
    """
    side = math.isqrt(max(number, 0))
    if side**2 != number or side == 0:
        raise ReleasedWeightsError(
            f"{name} (in this package's names) has {number} patches, which do not form a square"
        )
    return side
