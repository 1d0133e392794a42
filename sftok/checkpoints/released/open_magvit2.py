"""The tokenizer of Open-MAGVIT2 (SEED-Voken)."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.maskbit import lookup_free
from sftok.checkpoints.released.taming import ignored, residual, sizes, tokenizer
from sftok.checkpoints.renaming import Record, Rule, Tensors, count, shape


def _record(tensors: Tensors) -> Record:
    levels = count(tensors, r"encoder\.down")
    bits, *_ = shape(tensors, "encoder.conv_out.weight", 4)
    networks = {
        "name": "open-magvit2",
        **sizes(tensors, "encoder.down.{}.0.conv1.weight", levels),
        "num_res_blocks": count(tensors, r"encoder\.mid"),
    }
    return tokenizer(networks, bits, {"name": "lfq", "bits": bits})


_HALF, _KIND = r"(?P<half>encoder|decoder)", r"(?P<kind>weight|bias)"
_LEVEL = rf"{_HALF}\.(?P<way>down|up)\.(?P<level>\d+)"
_ADAPTIVE = r"decoder\.adaptive\.(?P<level>\d+)"

LAYOUTS = (
    Layout(
        title="released tokenizer of Open-MAGVIT2",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid_block.0.conv1.weight", "decoder.adaptive.0.gamma.weight"}),
        rules=(
            Rule(rf"{_HALF}\.(?P<end>conv_in|conv_out|norm_out)\.{_KIND}", r"\g<half>.\g<end>.\g<kind>"),
            *residual(rf"{_LEVEL}\.block\.(?P<index>\d+)", r"\g<half>.\g<way>.\g<level>.\g<index>"),
            *residual(rf"{_HALF}\.mid_block\.(?P<index>\d+)", r"\g<half>.mid.\g<index>"),
            Rule(rf"{_LEVEL}\.downsample\.{_KIND}", r"encoder.downsample.\g<level>.\g<kind>"),
            Rule(rf"{_LEVEL}\.upsample\.conv1\.{_KIND}", r"decoder.upsample.\g<level>.\g<kind>"),
            Rule(rf"{_ADAPTIVE}\.gamma\.{_KIND}", r"decoder.adaptive.\g<level>.scale.\g<kind>"),
            Rule(rf"{_ADAPTIVE}\.beta\.{_KIND}", r"decoder.adaptive.\g<level>.shift.\g<kind>"),
            *ignored("loss", "model_ema"),
        ),
        finish=lookup_free,
        record=_record,
    ),
)
