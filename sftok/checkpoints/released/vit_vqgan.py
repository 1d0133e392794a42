"""ViT-VQGAN (enhancing-transformers)."""

from __future__ import annotations

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import ignored, tokenizer
from sftok.checkpoints.renaming import (
    HEAD_WIDTH,
    Record,
    ReleasedWeightsError,
    Rule,
    Tensors,
    count,
    shape,
    square_root,
)


def _first(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


def _transformer(half: str) -> list[Rule]:
    layer, block = rf"{half}\.transformer\.layers\.(\d+)", rf"{half}.blocks.\1"
    return [
        Rule(rf"{layer}\.0\.norm\.(weight|bias)", rf"{block}.norm1.\2"),
        Rule(rf"{layer}\.0\.fn\.to_qkv\.weight", rf"{block}.qkv.weight"),
        Rule(rf"{layer}\.0\.fn\.to_out\.(weight|bias)", rf"{block}.proj.\2"),
        Rule(rf"{layer}\.1\.norm\.(weight|bias)", rf"{block}.norm2.\2"),
        Rule(rf"{layer}\.1\.fn\.net\.([02])\.(weight|bias)", rf"{block}.mlp.\2.\3"),
        Rule(rf"{half}\.transformer\.norm\.(weight|bias)", rf"{half}.norm.\1"),
    ]


def _record(tensors: Tensors) -> Record:
    width, _, patch_size, _ = shape(tensors, "encoder.patch_embed.weight", 4)
    positions, _ = shape(tensors, "encoder.positions", 2)
    codebook_size, latent_dim = shape(tensors, "quantizer.embedding", 2)
    inner = shape(tensors, "encoder.blocks.0.qkv.weight", 2)[0] // 3
    if inner % HEAD_WIDTH:
        raise ReleasedWeightsError(f"its attention has {inner} channels, not heads of {HEAD_WIDTH}")
    networks = {
        "name": "vit-vqgan",
        "patch_size": patch_size,
        "width": width,
        "depth": count(tensors, r"encoder\.blocks"),
        "heads": inner // HEAD_WIDTH,
        "mlp_width": shape(tensors, "encoder.blocks.0.mlp.0.weight", 2)[0],
        "head_width": HEAD_WIDTH,
    }
    quantizer = {
        "name": "vq",
        "codebook_size": codebook_size,
        "initial_codes": "normal",
        "straight_through": "latents",
    }
    record = tokenizer(networks, latent_dim, quantizer)
    return {**record, "image_size": patch_size * square_root(positions, "encoder.positions")}


LAYOUTS = (
    Layout(
        title="released ViT-VQGAN",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.en_pos_embedding", "quantizer.embedding.weight"}),
        rules=(
            Rule(r"encoder\.en_pos_embedding", "encoder.positions", _first),
            Rule(r"decoder\.de_pos_embedding", "decoder.positions", _first),
            Rule(r"encoder\.to_patch_embedding\.0\.(weight|bias)", r"encoder.patch_embed.\1"),
            Rule(r"decoder\.to_pixel\.1\.(weight|bias)", r"decoder.to_pixels.\1"),
            *_transformer("encoder"),
            *_transformer("decoder"),
            Rule(r"pre_quant\.(weight|bias)", r"encoder.to_latents.\1"),
            Rule(r"post_quant\.(weight|bias)", r"decoder.from_latents.\1"),
            Rule(r"quantizer\.embedding\.weight", "quantizer.embedding"),
            *ignored("loss"),
        ),
        record=_record,
    ),
)
