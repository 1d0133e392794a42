"""DC-AE (f32c32-in-1.0, f32c32-sana-1.0) in the layout of diffusers' `AutoencoderDC`: continuous latents."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import tokenizer
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, count, shape

HEAD_DIM = 32
"""Width of a head in every published model; only weights of multi-scale attention determine it."""

_ENCODER, _DECODER = r"encoder\.network\.down_blocks", r"decoder\.network\.up_blocks"
_BLOCK = r"\d+\.(?:norm|attn\.norm_out)\.weight"
"""A tensor that occurs once in every block and has one number per channel."""


def autoencoder(tensors: Tensors) -> Record:
    """Infer the record of the networks from their shapes."""
    encoder, decoder = blocks(tensors, _ENCODER), blocks(tensors, _DECODER)
    channels = [width(tensors, stage) for stage in range(1, len(encoder))]
    if not channels or len(decoder) != len(encoder):
        raise ReleasedWeightsError(
            f"its encoder has {len(encoder)} stages and its decoder {len(decoder)}; "
            "both need the same number, at least 2"
        )
    # A stage without blocks only changes the resolution, and its width appears in no tensor.
    first = width(tensors, 0) if encoder[0] else channels[0] // 2
    down = f"down_blocks.0.{encoder[0]}" if encoder[0] else "conv_in"
    after_convolution, *_ = shape(tensors, f"encoder.network.{down}.conv.weight", 4)
    attention = f"encoder.network.down_blocks.{len(channels)}.0.attn.to_qkv_multiscale"
    scales = range(count(tensors, re.escape(attention)))
    return {
        "name": "dc-ae",
        "channels": [first, *channels],
        "encoder_blocks": encoder,
        "decoder_blocks": decoder,
        "attention_stages": sum(
            f"encoder.network.down_blocks.{stage}.0.attn.to_q.weight" in tensors
            for stage in range(len(encoder))
        ),
        "head_dim": shape(tensors, f"{attention}.0.proj_out.weight", 4)[1] if scales else HEAD_DIM,
        "decoder_norm": "batch_norm"
        if any(name.endswith(".running_mean") for name in tensors)
        else "rms_norm",
        "resampling": "convolution" if after_convolution == channels[0] else "shuffle",
        "attention_scales": [
            shape(tensors, f"{attention}.{scale}.proj_in.weight", 4)[-1] for scale in scales
        ],
    }


def blocks(tensors: Tensors, stages: str) -> list[int]:
    """Return the number of blocks per stage, without the layers that change the resolution."""
    return [
        sum(re.fullmatch(rf"{stages}\.{stage}\.{_BLOCK}", name) is not None for name in tensors)
        for stage in range(count(tensors, stages))
    ]


def width(tensors: Tensors, stage: int) -> int:
    """Return the channels of an encoder stage that has blocks."""
    pattern = rf"{_ENCODER}\.{stage}\.{_BLOCK}"
    name = next((name for name in tensors if re.fullmatch(pattern, name)), None)
    if name is None:
        raise ReleasedWeightsError(f"stage {stage} of its encoder has no blocks")
    return shape(tensors, name, 1)[0]


def record(tensors: Tensors) -> Record:
    """The record of a tokenizer whose latents are the output of the encoder."""
    latent_dim, *_ = shape(tensors, "encoder.network.conv_out.weight", 4)
    return tokenizer(autoencoder(tensors), latent_dim, {"name": "identity"})


_LAYER = (
    r"(?:conv|conv[12]|norm|attn\.norm_out|attn\.to_[a-z_]+(?:\.\d+)?(?:\.proj_(?:in|out))?|conv_out\.\w+)"
)
_TENSOR = r"(?:weight|bias|running_mean|running_var|num_batches_tracked)"

LAYOUTS: Sequence[Layout] = (
    Layout(
        title="AutoencoderDC of diffusers (DC-AE)",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.conv_out.weight", "decoder.norm_out.weight"}),
        tells=lambda tensors: any(name.startswith("encoder.down_blocks.1.0.") for name in tensors),
        rules=(
            Rule(
                rf"(encoder|decoder)\.((?:(?:down|up)_blocks\.\d+\.\d+\.{_LAYER}"
                rf"|(?:conv_in|conv_out)(?:\.conv)?|norm_out)\.{_TENSOR})",
                r"\1.network.\2",
            ),
        ),
        record=record,
    ),
)
