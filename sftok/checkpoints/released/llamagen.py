"""The tokenizer of LlamaGen, VQ-16: the networks of taming-transformers under names of its own."""

from __future__ import annotations

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.diffusers_vq import numbered_by_resolution
from sftok.checkpoints.released.taming import (
    CODEBOOK,
    attention,
    autoencoder,
    ends,
    finish,
    residual,
    tokenizer,
)
from sftok.checkpoints.renaming import Record, Rule, Tensors, count, shape


def _network(half: str, way: str, resample: str) -> list[Rule]:
    level, ours = rf"{half}\.conv_blocks\.(?P<level>\d+)", rf"{half}.{way}.\g<level>"
    return [
        *residual(rf"{level}\.res\.(?P<index>\d+)", rf"{ours}.blocks.\g<index>"),
        *attention(rf"{level}\.attn\.(?P<index>\d+)", rf"{ours}.attentions.\g<index>"),
        Rule(rf"{level}\.{resample}\.conv\.(?P<kind>weight|bias)", rf"{half}.{resample}.\g<level>.\g<kind>"),
        *residual(rf"{half}\.mid\.0", f"{half}.mid.before"),
        *attention(rf"{half}\.mid\.1", f"{half}.mid.attention"),
        *residual(rf"{half}\.mid\.2", f"{half}.mid.after"),
    ]


def _finish(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return finish(numbered_by_resolution(tensors, count(tensors, r"decoder\.up")))


def _record(tensors: Tensors) -> Record:
    codebook_size, latent_dim = shape(tensors, "quantizer.embedding", 2)
    quantizer = {"name": "vq", "codebook_size": codebook_size, "initial_codes": "unit"}
    return tokenizer(autoencoder(tensors), latent_dim, quantizer)


LAYOUTS = (
    Layout(
        title="released tokenizer of LlamaGen",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.conv_blocks.0.res.0.conv1.weight", "quantize.embedding.weight"}),
        rules=(
            *ends(),
            *_network("encoder", "down", "downsample"),
            *_network("decoder", "up", "upsample"),
            CODEBOOK,
            Rule(r"quantize\.codebook_used", None),  # ids of the last training batches
        ),
        finish=_finish,
        record=_record,
    ),
)
