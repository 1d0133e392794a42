"""Gaussian autoencoders of latent diffusion (KL f4), as CompVis released them and as diffusers lays them out.

Their latents are continuous. Names are converted to those of diffusers, whose networks this package uses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import NORM_GROUPS, ignored, tokenizer
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, count, pointwise, shape

_KIND = r"\.(?P<kind>weight|bias)"
_HALF = r"(?P<half>encoder|decoder)"
_NETWORK = r"\g<half>.network"
_ATTENTION = rf"{_NETWORK}.mid_block.attentions.0"


def matrix(weight: Tensor) -> Tensor:
    """Convert a 1x1 convolution's weight to a linear layer's; biases and linear weights are unchanged."""
    return pointwise(weight) if weight.dim() == 4 else weight


def residual(released: str, ours: str, shortcut: str) -> list[Rule]:
    """Rules for residual blocks."""
    return [
        Rule(rf"{released}\.(?P<part>norm[12]|conv[12]){_KIND}", rf"{ours}.\g<part>.\g<kind>"),
        Rule(rf"{released}\.{shortcut}{_KIND}", rf"{ours}.conv_shortcut.\g<kind>"),
    ]


def attention(released: str, norm: str, query: str, out: str) -> list[Rule]:
    """Rules for the attention block in the middle."""
    return [
        Rule(rf"{released}\.{norm}{_KIND}", rf"{_ATTENTION}.group_norm.\g<kind>"),
        Rule(
            rf"{released}\.{query}(?P<part>[qkv])(?:uery|ey|alue)?{_KIND}",
            rf"{_ATTENTION}.to_\g<part>.\g<kind>",
            matrix,
        ),
        Rule(rf"{released}\.{out}{_KIND}", rf"{_ATTENTION}.to_out.0.\g<kind>", matrix),
    ]


def ends(norm_out: str) -> list[Rule]:
    """Rules for the first and the last layers."""
    return [
        Rule(rf"{_HALF}\.(?P<part>conv_in|conv_out){_KIND}", rf"{_NETWORK}.\g<part>.\g<kind>"),
        Rule(rf"{_HALF}\.{norm_out}{_KIND}", rf"{_NETWORK}.conv_norm_out.\g<kind>"),
        Rule(rf"quant_conv{_KIND}", r"encoder.quant_conv.\g<kind>"),
        Rule(rf"post_quant_conv{_KIND}", r"decoder.post_quant_conv.\g<kind>"),
    ]


_LEVEL = rf"{_HALF}\.(?P<way>down|up)\.(?P<level>\d+)"
_BLOCKS = rf"{_HALF}\.(?P<way>down|up)_blocks\.(?P<level>\d+)"
_OURS = rf"{_NETWORK}.\g<way>_blocks.\g<level>"

COMPVIS: tuple[Rule, ...] = (
    *ends("norm_out"),
    *residual(rf"{_LEVEL}\.block\.(?P<index>\d+)", rf"{_OURS}.resnets.\g<index>", "nin_shortcut"),
    Rule(
        rf"{_LEVEL}\.(?P<resample>downsample|upsample)\.conv{_KIND}",
        rf"{_OURS}.\g<resample>rs.0.conv.\g<kind>",
    ),
    *residual(rf"{_HALF}\.mid\.block_1", rf"{_NETWORK}.mid_block.resnets.0", "nin_shortcut"),
    *residual(rf"{_HALF}\.mid\.block_2", rf"{_NETWORK}.mid_block.resnets.1", "nin_shortcut"),
    *attention(rf"{_HALF}\.mid\.attn_1", norm="norm", query="", out="proj_out"),
    *ignored("loss", "model_ema"),
)

DIFFUSERS: tuple[Rule, ...] = (
    *ends("conv_norm_out"),
    *residual(rf"{_BLOCKS}\.resnets\.(?P<index>\d+)", rf"{_OURS}.resnets.\g<index>", "conv_shortcut"),
    Rule(
        rf"{_BLOCKS}\.(?P<resample>downsample|upsample)rs\.0\.conv{_KIND}",
        rf"{_OURS}.\g<resample>rs.0.conv.\g<kind>",
    ),
    *residual(
        rf"{_HALF}\.mid_block\.resnets\.(?P<index>[01])",
        rf"{_NETWORK}.mid_block.resnets.\g<index>",
        "conv_shortcut",
    ),
    # Before version 0.15 of diffusers: query, key, value and proj_attn.
    *attention(
        rf"{_HALF}\.mid_block\.attentions\.0",
        norm="group_norm",
        query="(?:to_)?",
        out=r"(?:to_out\.0|proj_attn)",
    ),
)


def in_order(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Number the decoder's levels in order of execution, as diffusers does, instead of by resolution."""
    levels = count(tensors, r"decoder\.network\.up_blocks")

    def renumber(match: re.Match[str]) -> str:
        return f"{match[1]}{levels - 1 - int(match[2])}"

    pattern = re.compile(r"^(decoder\.network\.up_blocks\.)(\d+)")
    return {pattern.sub(renumber, name): tensor for name, tensor in tensors.items()}


def record(tensors: Tensors) -> Record:
    """Infer the record of a tokenizer from its shapes.

    Raises:
        ReleasedWeightsError: the channels of a level are not a multiple of the first layer's.
    """
    blocks = r"encoder\.network\.down_blocks"
    hidden, *_ = shape(tensors, "encoder.network.conv_in.weight", 4)
    channels = [
        shape(tensors, f"encoder.network.down_blocks.{level}.resnets.0.conv1.weight", 4)[0]
        for level in range(count(tensors, blocks))
    ]
    if any(width % hidden for width in channels):
        raise ReleasedWeightsError(
            f"the levels of its encoder have {channels} channels, which are not multiples of {hidden}"
        )
    latent_dim, *_ = shape(tensors, "decoder.post_quant_conv.weight", 4)
    networks = {
        "name": "ldm",
        "hidden_channels": hidden,
        "channel_multipliers": [width // hidden for width in channels],
        "num_res_blocks": count(tensors, rf"{blocks}\.0\.resnets"),
        "norm_groups": NORM_GROUPS,
        "middle_attention": "encoder.network.mid_block.attentions.0.to_q.weight" in tensors,
    }
    return tokenizer(networks, latent_dim, {"name": "gaussian"})


def is_gaussian(tensors: Tensors) -> bool:
    """Whether the encoder outputs a mean and a variance for each number that the decoder takes."""
    moments, numbers = tensors["quant_conv.weight"].shape[:1], tensors["post_quant_conv.weight"].shape[1:2]
    return [*moments] == [2 * number for number in numbers]


_LATENTS = {"quant_conv.weight", "post_quant_conv.weight"}

LAYOUTS: Sequence[Layout] = (
    Layout(
        title="released KL autoencoder (latent-diffusion)",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid.block_1.conv1.weight", *_LATENTS}),
        tells=is_gaussian,
        rules=COMPVIS,
        finish=in_order,
        record=record,
    ),
    Layout(
        title="AutoencoderKL of diffusers",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid_block.resnets.0.conv1.weight", *_LATENTS}),
        tells=is_gaussian,
        rules=DIFFUSERS,
        record=record,
    ),
)
