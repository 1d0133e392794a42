"""TiTok: B64 and L32 end in the VQGAN's pixel decoder, BL64 and later ones predict pixels directly."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import TITOK
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
    square_root,
    transformer_record,
    vision_transformer,
)

_TRUNK = (
    *ENCODER,
    Rule(r"quantize\.embedding\.weight", "quantizer.embedding"),
    *vision_transformer("decoder"),
    Rule(r"decoder\.mask_token", "decoder.mask_token", lambda token: token.squeeze(0)),
    Rule(r"decoder\.positional_embedding", "decoder.patch_positions"),
    Rule(r"decoder\.decoder_embed\.(weight|bias)", r"decoder.embed_latents.\1"),
    Rule(r"decoder\.latent_token_positional_embedding", "decoder.latent_positions"),
)


def _trunk(tensors: Tensors, latent_layout: str, use_l2_norm: bool) -> Record:
    _, width = shape(tensors, "decoder.patch_positions", 2)
    codebook_size, _ = shape(tensors, "quantizer.embedding", 2)
    return {
        **encoder_record(tensors, latent_layout),
        "quantizer": {"name": "vq", "codebook_size": codebook_size, "use_l2_norm": use_l2_norm},
        "decoder": transformer_record(tensors, "decoder", width),
    }


def _codes_record(tensors: Tensors) -> Record:
    """The latent layout is the legacy one, and codes have unit length."""
    record = _trunk(tensors, "legacy", use_l2_norm=True)
    return {**record, "head": {"kind": "codes", "pixel_decoder": backbone(tensors, "head.pixel_decoder")}}


def _pixels_record(tensors: Tensors) -> Record:
    """The latent layout is the straight one, and codes are not normalized."""
    record = _trunk(tensors, "straight", use_l2_norm=False)
    outputs, _ = shape(tensors, "head.to_pixels.weight", 2)
    patch_size = square_root(outputs // 3, "head.to_pixels.weight")
    return {**record, "head": {"kind": "pixels", "patch_size": patch_size}}


LAYOUTS = (
    Layout(
        title="released TiTok with a pixel decoder",
        architecture=TITOK,
        markers=frozenset({"latent_tokens", "decoder.mask_token", "decoder.ffn.2.weight"}),
        rules=(
            *_TRUNK,
            Rule(r"decoder\.ffn\.([02])\.weight", r"head.to_logits.\1.weight", pointwise),
            Rule(r"decoder\.ffn\.([02])\.bias", r"head.to_logits.\1.bias"),
            Rule(r"pixel_quantize\.embedding\.weight", "head.pixel_decoder.codebook"),
            *convolutional("pixel_decoder", "head.pixel_decoder"),
        ),
        record=_codes_record,
    ),
    Layout(
        title="released TiTok without a pixel decoder",
        architecture=TITOK,
        markers=frozenset({"latent_tokens", "decoder.mask_token", "decoder.conv_out.weight"}),
        rules=(
            *_TRUNK,
            Rule(r"decoder\.ffn\.0\.weight", "head.to_pixels.weight", pointwise),
            Rule(r"decoder\.ffn\.0\.bias", "head.to_pixels.bias"),
            Rule(r"decoder\.conv_out\.(weight|bias)", r"head.across_seams.\1"),
        ),
        record=_pixels_record,
    ),
)
