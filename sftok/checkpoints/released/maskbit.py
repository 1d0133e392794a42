"""The tokenizer of MaskBit."""

from __future__ import annotations

import torch
from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import residual, sizes, tokenizer
from sftok.checkpoints.renaming import Record, Rule, Tensors, count, shape

BATCHES = "quantizer.batches"
"""Training batches that a lookup-free quantizer has seen; releases do not store it."""


def lookup_free(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the state of a lookup-free quantizer, which has no weights."""
    return {**tensors, BATCHES: torch.zeros(())}


def _record(tensors: Tensors) -> Record:
    levels = count(tensors, r"encoder\.down")
    bits, *_ = shape(tensors, "encoder.conv_out.weight", 4)
    networks = {
        "name": "maskbit",
        **sizes(tensors, "encoder.down.{}.0.conv1.weight", levels),
        "num_res_blocks": count(tensors, r"encoder\.mid"),
    }
    quantizer = {"name": "lfq", "bits": bits, "entropy_weight": 0.02, "entropy_form": "clamped"}
    return tokenizer(networks, bits, {**quantizer, "entropy_boost": 2.0})


_HALF, _KIND = r"(?P<half>encoder|decoder)", r"(?P<kind>weight|bias)"
_LEVEL = rf"{_HALF}\.(?P<way>down|up)\.(?P<level>\d+)"

LAYOUTS = (
    Layout(
        title="released tokenizer of MaskBit",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.down.0.res_blocks.0.conv1.weight", "encoder.conv_out.weight"}),
        rules=(
            Rule(rf"{_HALF}\.(?P<end>conv_in|conv_out|norm_out)\.{_KIND}", r"\g<half>.\g<end>.\g<kind>"),
            *residual(rf"{_LEVEL}\.res_blocks\.(?P<index>\d+)", r"\g<half>.\g<way>.\g<level>.\g<index>"),
            *residual(rf"{_HALF}\.mid\.res_blocks\.(?P<index>\d+)", r"\g<half>.mid.\g<index>"),
            Rule(
                rf"{_LEVEL}\.(?P<resample>down|up)(sample)?_conv\.{_KIND}",
                r"\g<half>.\g<resample>sample.\g<level>.\g<kind>",
            ),
            Rule(r"quantize\.(codebook|bits_to_indices)", None),  # all combinations of bits
        ),
        finish=lookup_free,
        record=_record,
    ),
)
