"""VQGANs in the layout of diffusers' `VQModel`: the first stage of LDM-4, and the MoVQ of Kandinsky."""

from __future__ import annotations

import re

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import CODEBOOK, attention, ends, finish, plain_vq, residual
from sftok.checkpoints.renaming import Rule, count

_LEVEL = r"(?P<half>encoder|decoder)\.(?P<way>down|up)_blocks\.(?P<level>\d+)"
_OURS = r"\g<half>.\g<way>.\g<level>"
_MIDDLE = r"(?P<half>encoder|decoder)\.mid_block"
# Before version 0.15 of diffusers: query, key, value and proj_attn.
_ATTENTION = {
    "norms": "(?:group_norm|spatial_norm)",
    "query": "(?:to_)?",
    "out": r"(?:to_out\.0|proj_attn)",
}


def numbered_by_resolution(tensors: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    """Number the decoder's levels by resolution, as in this package, instead of in order of execution."""

    def renumber(name: str) -> str:
        return re.sub(
            r"^decoder\.(up|upsample)\.(\d+)",
            lambda match: f"decoder.{match[1]}.{levels - 1 - int(match[2])}",
            name,
        )

    return {renumber(name): tensor for name, tensor in tensors.items()}


def _finish(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return finish(numbered_by_resolution(tensors, count(tensors, r"decoder\.up")))


LAYOUTS = (
    Layout(
        title="VQModel of diffusers",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid_block.resnets.0.conv1.weight", "quantize.embedding.weight"}),
        rules=(
            *ends("conv_norm_out"),
            *residual(rf"{_LEVEL}\.resnets\.(?P<index>\d+)", rf"{_OURS}.blocks.\g<index>", "conv_shortcut"),
            *attention(
                rf"{_LEVEL}\.attentions\.(?P<index>\d+)", rf"{_OURS}.attentions.\g<index>", **_ATTENTION
            ),
            Rule(
                rf"{_LEVEL}\.(?P<resample>downsample|upsample)rs\.0\.conv\.(?P<kind>weight|bias)",
                r"\g<half>.\g<resample>.\g<level>.\g<kind>",
            ),
            *residual(rf"{_MIDDLE}\.resnets\.0", r"\g<half>.mid.before", "conv_shortcut"),
            *attention(rf"{_MIDDLE}\.attentions\.0", r"\g<half>.mid.attention", **_ATTENTION),
            *residual(rf"{_MIDDLE}\.resnets\.1", r"\g<half>.mid.after", "conv_shortcut"),
            CODEBOOK,
        ),
        finish=_finish,
        record=plain_vq,
    ),
)
