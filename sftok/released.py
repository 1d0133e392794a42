"""State dicts of the authors' released checkpoints, renamed to this package's.

Pure functions, one a model family, from released tensors to a state dict for `load_state_dict`. Each
tensor must be claimed by a rule; leftovers are an error, so nothing is dropped unseen. What the weights need
beside their names (SFTok's legacy latent layout, say) is in `sftok.checkpoints.shapes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class ReleasedWeightsError(ValueError):
    """A state dict with tensors that the released model family does not have."""


class _Rule(NamedTuple):
    """Renames what `pattern` matches whole; no `ours` means that the tensor carries nothing to keep."""

    pattern: str
    ours: str | Callable[[re.Match[str]], str] | None
    reshape: Callable[[Tensor], Tensor] = lambda tensor: tensor


def convert_sftok(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An SFTok checkpoint as the state dict of `SFTok`.

    Stages 1 and 2 are released without a pixel decoder; it is then absent here too, and comes from the
    teacher (`convert_maskgit_vqgan`, names under `pixel_decoder.`).

    Raises:
        ReleasedWeightsError: names that SFTok does not have.
    """
    return _rename(released, _SFTOK)


def convert_maskgit_generator(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A class-conditional generator's checkpoint as the state dict of `MaskGITGenerator`.

    Its one table of words holds the ids, the mask, the classes and the null class. BERT's token types are
    all 0 here, so the first of them is a part of every position and the second is never read. Queries, keys
    and values become one projection.

    Raises:
        ReleasedWeightsError: names that the generator does not have, or tensors to be joined that are
            missing or of shapes that do not fit.
    """
    tensors = _rename(released, _MASKGIT_GENERATOR)
    try:
        words, ids = tensors.pop("words"), len(tensors["head.weight"]) + 1
        tensors["token_embedding.weight"] = words[:ids]
        tensors["class_embedding.weight"] = words[ids:]
        tensors["position_embedding"] = tensors["position_embedding"] + tensors.pop("types")[0]
        for joint in {name.rpartition("/")[0] for name in tensors if "/" in name}:
            parts = [tensors.pop(f"{joint}/{part}") for part in ("query", "key", "value")]
            tensors[joint] = torch.cat(parts)
    except KeyError as missing:
        raise ReleasedWeightsError(
            f"a tensor is missing, {missing.args[0]} in this package's names"
        ) from None
    except (RuntimeError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ReleasedWeightsError(f"its tensors do not fit each other ({reason})") from None
    return tensors


def convert_maskgit_vqgan(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The teacher's checkpoint as the state dict of `MaskGITVQGAN`.

    Raises:
        ReleasedWeightsError: names that the MaskGIT-VQGAN does not have.
    """
    return _rename(released, _MASKGIT_VQGAN)


def convert_titok_codes(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A TiTok checkpoint that ends in the VQGAN's pixel decoder (B64, L32), as the state dict of `TiTok`.

    Raises:
        ReleasedWeightsError: names that this TiTok does not have.
    """
    return _rename(released, _TITOK_CODES)


def convert_titok_pixels(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A TiTok checkpoint that predicts pixels itself (BL64), as the state dict of `TiTok`.

    Raises:
        ReleasedWeightsError: names that this TiTok does not have.
    """
    return _rename(released, _TITOK_PIXELS)


def _rename(released: Mapping[str, Tensor], rules: Sequence[_Rule]) -> dict[str, Tensor]:
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


def _pointwise(kernel: Tensor) -> Tensor:
    """The weight of a 1x1 convolution `[out, in, 1, 1]` as that of a linear layer."""
    if kernel.dim() < 2:
        raise ReleasedWeightsError(f"the weight of a 1x1 convolution has shape {tuple(kernel.shape)}")
    return kernel.flatten(1)


def _vision_transformer(part: str) -> list[_Rule]:
    block = rf"{part}\.transformer\.(\d+)"
    return [
        _Rule(rf"{block}\.ln_([12])\.(weight|bias)", rf"{part}.blocks.\1.norm\2.\3"),
        _Rule(rf"{block}\.attn\.in_proj_(weight|bias)", rf"{part}.blocks.\1.attn.qkv.\2"),
        _Rule(rf"{block}\.attn\.out_proj\.(weight|bias)", rf"{part}.blocks.\1.attn.proj.\2"),
        _Rule(rf"{block}\.mlp\.c_fc\.(weight|bias)", rf"{part}.blocks.\1.mlp.fc1.\2"),
        _Rule(rf"{block}\.mlp\.c_proj\.(weight|bias)", rf"{part}.blocks.\1.mlp.fc2.\2"),
        _Rule(rf"{part}\.ln_pre\.(weight|bias)", rf"{part}.norm_in.\1"),
        _Rule(rf"{part}\.ln_post\.(weight|bias)", rf"{part}.norm_out.\1"),
        _Rule(rf"{part}\.class_embedding", f"{part}.class_token"),
    ]


def _convolutional(released: str, ours: str) -> list[_Rule]:
    """Rules for one half of the VQGAN; a residual block is the same anywhere."""
    start = rf"{released}\.(conv_in|conv_out|norm_out)\.(weight|bias)"
    middle = rf"{released}\.mid\.(\d+)"
    level = rf"{released}\.(down|up)\.(\d+)\.block\.(\d+)"
    layer = r"(norm1|norm2|conv1|conv2)\.(weight|bias)"
    return [
        _Rule(start, rf"{ours}.\1.\2"),
        _Rule(rf"{middle}\.{layer}", rf"{ours}.mid.\1.\2.\3"),
        _Rule(rf"{level}\.{layer}", rf"{ours}.\1.\2.\3.\4.\5"),
        _Rule(rf"{level}\.nin_shortcut\.weight", rf"{ours}.\1.\2.\3.shortcut.weight"),
        _Rule(
            rf"{released}\.up\.(\d+)\.upsample_conv\.(weight|bias)",
            # The finest level does not upsample, so the list of these convolutions starts at level 1.
            lambda match: f"{ours}.after_up.{int(match[1]) - 1}.{match[2]}",
        ),
    ]


_ENCODER: list[_Rule] = [
    _Rule("latent_tokens", "encoder.queries"),
    *_vision_transformer("encoder"),
    _Rule(r"encoder\.positional_embedding", "encoder.image_positions"),
    _Rule(r"encoder\.latent_token_positional_embedding", "encoder.query_positions"),
    _Rule(r"encoder\.patch_embed\.(weight|bias)", r"encoder.patch_embed.\1"),
    _Rule(r"encoder\.conv_out\.weight", "encoder.to_latents.weight", _pointwise),
    _Rule(r"encoder\.conv_out\.bias", "encoder.to_latents.bias"),
]
"""SFTok's and TiTok's."""

_SFTOK: list[_Rule] = [
    *_ENCODER,
    _Rule(r"quantize\.embedding", "quantizer.embedding", lambda groups: groups.squeeze(0)),
    _Rule(r"quantize\.shared_linear\.(weight|bias)", r"quantizer.shared_linear.\1"),
    _Rule(r"quantize\.index_offset", None),  # zero: codes are in one group
    *_vision_transformer("decoder"),
    _Rule(r"decoder\.learnable_embedding\.weight", "decoder.embed_codes.weight"),
    _Rule(r"decoder\.learnable_embedding_positional_embedding", "decoder.code_positions"),
    _Rule(r"decoder\.decoder_embed\.(weight|bias)", r"decoder.embed_latents.\1"),
    _Rule(r"decoder\.condition_positional_embedding", "decoder.latent_positions"),
    _Rule(r"decoder\.ffn\.([02])\.weight", r"decoder.head.\1.weight", _pointwise),
    _Rule(r"decoder\.ffn\.([02])\.bias", r"decoder.head.\1.bias"),
    _Rule(r"pixel_quantize\.embedding\.weight", "pixel_decoder.codebook"),
    *_convolutional("pixel_decoder", "pixel_decoder"),
]

_TITOK_TRUNK: list[_Rule] = [
    *_ENCODER,
    _Rule(r"quantize\.embedding\.weight", "quantizer.embedding"),
    *_vision_transformer("decoder"),
    _Rule(r"decoder\.mask_token", "decoder.mask_token", lambda token: token.squeeze(0)),
    _Rule(r"decoder\.positional_embedding", "decoder.patch_positions"),
    _Rule(r"decoder\.decoder_embed\.(weight|bias)", r"decoder.embed_latents.\1"),
    _Rule(r"decoder\.latent_token_positional_embedding", "decoder.latent_positions"),
]

_TITOK_CODES: list[_Rule] = [
    *_TITOK_TRUNK,
    _Rule(r"decoder\.ffn\.([02])\.weight", r"head.to_logits.\1.weight", _pointwise),
    _Rule(r"decoder\.ffn\.([02])\.bias", r"head.to_logits.\1.bias"),
    _Rule(r"pixel_quantize\.embedding\.weight", "head.pixel_decoder.codebook"),
    *_convolutional("pixel_decoder", "head.pixel_decoder"),
]

_TITOK_PIXELS: list[_Rule] = [
    *_TITOK_TRUNK,
    _Rule(r"decoder\.ffn\.0\.weight", "head.to_pixels.weight", _pointwise),
    _Rule(r"decoder\.ffn\.0\.bias", "head.to_pixels.bias"),
    _Rule(r"decoder\.conv_out\.(weight|bias)", r"head.across_seams.\1"),
]

_MASKGIT_VQGAN: list[_Rule] = [
    _Rule(r"quantize\.embedding\.weight", "pixel_decoder.codebook"),
    *_convolutional("encoder", "encoder"),
    *_convolutional("decoder", "pixel_decoder"),
]

_BERT_LAYER = r"model\.encoder\.layer\.(\d+)"

_MASKGIT_GENERATOR: list[_Rule] = [
    _Rule(r"model\.embeddings\.word_embeddings\.weight", "words"),
    _Rule(r"model\.embeddings\.token_type_embeddings\.weight", "types"),
    _Rule(r"model\.embeddings\.position_embeddings\.weight", "position_embedding"),
    _Rule(r"model\.embeddings\.LayerNorm\.(weight|bias)", r"norm_in.\1"),
    _Rule(rf"{_BERT_LAYER}\.attention\.self\.(query|key|value)\.(weight|bias)", r"blocks.\1.attn.qkv.\3/\2"),
    _Rule(rf"{_BERT_LAYER}\.attention\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    _Rule(rf"{_BERT_LAYER}\.attention\.output\.LayerNorm\.(weight|bias)", r"blocks.\1.norm1.\2"),
    _Rule(rf"{_BERT_LAYER}\.intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    _Rule(rf"{_BERT_LAYER}\.output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    _Rule(rf"{_BERT_LAYER}\.output\.LayerNorm\.(weight|bias)", r"blocks.\1.norm2.\2"),
    _Rule(r"model\.lm_head\.(weight|bias)", r"head.\1"),
]
"""Beside our names: `words` and `types`, and parts of a joint projection behind a slash."""
