"""MaskGIT-VQGAN, the teacher; its halves also serve as the pixel decoders of SFTok and TiTok."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import MASKGIT_VQGAN
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, count, shape

NORM_GROUPS = 32
CODES_PER_SIDE = 16


def convolutional(released: str, ours: str) -> list[Rule]:
    """Rules for one half; residual blocks have the same layout everywhere."""
    level = rf"{released}\.(down|up)\.(\d+)\.block\.(\d+)"
    layer = r"(norm1|norm2|conv1|conv2)\.(weight|bias)"
    return [
        Rule(rf"{released}\.(conv_in|conv_out|norm_out)\.(weight|bias)", rf"{ours}.\1.\2"),
        Rule(rf"{released}\.mid\.(\d+)\.{layer}", rf"{ours}.mid.\1.\2.\3"),
        Rule(rf"{level}\.{layer}", rf"{ours}.\1.\2.\3.\4.\5"),
        Rule(rf"{level}\.nin_shortcut\.weight", rf"{ours}.\1.\2.\3.shortcut.weight"),
        Rule(
            rf"{released}\.up\.(\d+)\.upsample_conv\.(weight|bias)",
            # The finest level has no upsampling, so this list of convolutions starts at level 1.
            lambda match: f"{ours}.after_up.{int(match[1]) - 1}.{match[2]}",
        ),
    ]


def backbone(tensors: Tensors, part: str) -> Record:
    """Infer the record of the VQGAN whose pixel decoder is `part`."""
    codebook_size, code_dim = shape(tensors, f"{part}.codebook", 2)
    channels = [
        shape(tensors, f"{part}.up.{level}.0.conv1.weight", 4)[0]
        for level in range(count(tensors, rf"{part}\.up"))
    ]
    if not channels or any(width % channels[0] for width in channels):
        raise ReleasedWeightsError(
            f"the levels of its {part} have {channels} channels, which are not multiples of the first"
        )
    return {
        "name": "maskgit-vqgan",
        "hidden_channels": channels[0],
        "channel_multipliers": [width // channels[0] for width in channels],
        "num_res_blocks": count(tensors, rf"{part}\.mid"),
        "code_dim": code_dim,
        "codebook_size": codebook_size,
        "norm_groups": NORM_GROUPS,
    }


def _record(tensors: Tensors) -> Record:
    """The weights do not determine the image size; the released teacher has 16 codes per side."""
    found = backbone(tensors, "pixel_decoder")
    factor = 2 ** (len(found["channel_multipliers"]) - 1)
    return {"image_size": CODES_PER_SIDE * factor, "backbone": found}


LAYOUTS = (
    Layout(
        title="released MaskGIT-VQGAN",
        architecture=MASKGIT_VQGAN,
        markers=frozenset({"encoder.down.0.block.0.conv1.weight", "encoder.mid.0.conv1.weight"}),
        rules=(
            Rule(r"quantize\.embedding\.weight", "pixel_decoder.codebook"),
            *convolutional("encoder", "encoder"),
            *convolutional("decoder", "pixel_decoder"),
        ),
        record=_record,
    ),
)
