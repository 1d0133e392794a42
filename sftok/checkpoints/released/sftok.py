"""SFTok as its authors released it: stages 1 and 2 without a pixel decoder, stage 3 with one."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import PIXEL_DECODER, SFTOK
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.maskgit_vqgan import backbone, convolutional
from sftok.checkpoints.renaming import (
    ENCODER,
    Record,
    Rule,
    Tensors,
    encoder_record,
    pointwise,
    shape,
    transformer_record,
    vision_transformer,
)


def _record(tensors: Tensors) -> Record:
    """The latent layout is the legacy one; without a pixel decoder, the record has none either."""
    _, width = shape(tensors, "decoder.embed_codes.weight", 2)
    codebook_size, _ = shape(tensors, "quantizer.embedding", 2)
    record: Record = {
        **encoder_record(tensors, "legacy"),
        "quantizer": {"name": "optvq", "codebook_size": codebook_size},
        "decoder": {"name": "vit", **transformer_record(tensors, "decoder", width)},
    }
    if any(name.startswith(PIXEL_DECODER) for name in tensors):
        # Stage 3 trains the pixel decoder on the soft lookup.
        record["pixel_decoder"] = backbone(tensors, "pixel_decoder")
        record["decoding"] = {"final_lookup": "soft"}
    return record


LAYOUTS = (
    Layout(
        title="released SFTok",
        architecture=SFTOK,
        markers=frozenset({"latent_tokens", "decoder.learnable_embedding.weight"}),
        rules=(
            *ENCODER,
            Rule(r"quantize\.embedding", "quantizer.embedding", lambda groups: groups.squeeze(0)),
            Rule(r"quantize\.shared_linear\.(weight|bias)", r"quantizer.shared_linear.\1"),
            Rule(r"quantize\.index_offset", None),  # zero: all codes are in one group
            *vision_transformer("decoder"),
            Rule(r"decoder\.learnable_embedding\.weight", "decoder.embed_codes.weight"),
            Rule(r"decoder\.learnable_embedding_positional_embedding", "decoder.code_positions"),
            Rule(r"decoder\.decoder_embed\.(weight|bias)", r"decoder.embed_latents.\1"),
            Rule(r"decoder\.condition_positional_embedding", "decoder.latent_positions"),
            Rule(r"decoder\.ffn\.([02])\.weight", r"decoder.head.\1.weight", pointwise),
            Rule(r"decoder\.ffn\.([02])\.bias", r"decoder.head.\1.bias"),
            Rule(r"pixel_quantize\.embedding\.weight", "pixel_decoder.codebook"),
            *convolutional("pixel_decoder", "pixel_decoder"),
        ),
        record=_record,
    ),
)
