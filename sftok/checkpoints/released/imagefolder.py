"""ImageFolder (MSVR10P2-4096), of the XQ-GAN code."""

from __future__ import annotations

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import ignored, tokenizer
from sftok.checkpoints.renaming import (
    HEAD_WIDTH,
    Record,
    Rule,
    Tensors,
    count,
    pointwise,
    shape,
    square_root,
)

SCALES = (1, 1, 2, 3, 3, 4, 5, 6, 8, 11)
"""Values of the release; the weights do not determine them."""

_HALF, _KIND = r"(?P<half>encoder|decoder)", r"(?P<kind>weight|bias)"
_MODEL = rf"{_HALF}\.model"
_BLOCK, _OURS = rf"{_MODEL}\.blocks\.(?P<block>\d+)", r"\g<half>.blocks.\g<block>"
_BRANCH, _OUR_BRANCH = r"quantizes\.(?P<branch>\d+)", r"quantizer.branches.\g<branch>"


def _first(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


def _finish(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give each branch its own latent tokens."""
    branches = count(tensors, r"quantizer\.branches")
    total, width = shape(tensors, "encoder.latent_tokens", 2)
    if branches and total % branches == 0:
        tokens = tensors["encoder.latent_tokens"].reshape(branches, total // branches, width)
        return {**tensors, "encoder.latent_tokens": tokens}
    return tensors


def _record(tensors: Tensors) -> Record:
    width, _, patch_size, _ = shape(tensors, "encoder.patch_embed.weight", 4)
    positions, _ = shape(tensors, "encoder.positions", 2)
    branches, latents, _ = shape(tensors, "encoder.latent_tokens", 3)
    codebook_size, channels = shape(tensors, "quantizer.branches.0.embedding", 2)
    networks = {
        "name": "imagefolder",
        "patch_size": patch_size,
        "width": width,
        "depth": count(tensors, r"encoder\.blocks"),
        "heads": None if width % HEAD_WIDTH else width // HEAD_WIDTH,
        "latent_grid": square_root(latents, "encoder.latent_tokens"),
        "branches": branches,
    }
    quantizer = {
        "name": "multiscale",
        "codebook_size": codebook_size,
        "scales": SCALES,
        "branches": branches,
        "smoothings": count(tensors, r"quantizer\.branches\.0\.smoothings"),
    }
    record = tokenizer(networks, branches * channels, quantizer)
    return {**record, "image_size": patch_size * square_root(positions - 1, "encoder.positions")}


LAYOUTS = (
    Layout(
        title="released ImageFolder",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.latent_tokens", "quantizes.0.embedding.weight"}),
        rules=(
            Rule(r"encoder\.latent_tokens", "encoder.latent_tokens", _first),
            Rule(r"decoder\.mask_token", "decoder.mask_token", _first),
            Rule(rf"{_HALF}\.lvl1LC", None),  # level indices
            Rule(rf"{_HALF}\.lvl_embed\.weight", r"\g<half>.level_embedding"),
            Rule(rf"{_MODEL}\.cls_token", r"\g<half>.class_token", _first),
            Rule(rf"{_MODEL}\.pos_embed", r"\g<half>.positions", _first),
            Rule(rf"{_MODEL}\.patch_embed\.proj\.{_KIND}", r"\g<half>.patch_embed.\g<kind>"),
            Rule(
                rf"{_BLOCK}\.(?P<layer>norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.{_KIND}",
                rf"{_OURS}.\g<layer>.\g<kind>",
            ),
            Rule(rf"{_BLOCK}\.ls(?P<number>[12])\.gamma", rf"{_OURS}.scale\g<number>"),
            Rule(rf"{_MODEL}\.norm\.{_KIND}", r"\g<half>.norm.\g<kind>"),
            Rule(r"decoder\.to_pixel\.model\.(weight|bias)", r"decoder.to_pixels.\1"),
            Rule(r"quant_conv\.weight", "encoder.to_latents.weight", pointwise),
            Rule(r"quant_conv\.bias", "encoder.to_latents.bias"),
            Rule(r"post_quant_conv\.weight", "decoder.from_latents.weight", pointwise),
            Rule(r"post_quant_conv\.bias", "decoder.from_latents.bias"),
            Rule(rf"{_BRANCH}\.embedding\.weight", rf"{_OUR_BRANCH}.embedding"),
            Rule(
                rf"{_BRANCH}\.quant_resi\.qresi_ls\.(?P<index>\d+)\.{_KIND}",
                rf"{_OUR_BRANCH}.smoothings.\g<index>.\g<kind>",
            ),
            Rule(rf"{_BRANCH}\.ema_vocab_hit_SV", None),  # how often codes were chosen in training
            *ignored("semantic_model"),
        ),
        finish=_finish,
        record=_record,
    ),
)
