"""VQGAN of taming-transformers, and of latent-diffusion (the first stage of LDM-4).

Its convolutional networks are those of RQ-VAE, Mo-VQGAN, VQGAN-LC and Cosmos too, under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, count, join, shape

IMAGE_SIZE = 256
"""Image size of every released tokenizer here; the weights do not determine it."""
NORM_GROUPS = 32

PROJECTIONS = ("q", "k", "v")
LEGACY_LOSS: Record = {"commitment_cost": 1.0, "codebook_cost": 0.25}
"""Costs of the quantizers that were trained with taming's code, even where the papers give others."""


def norm(released: str, ours: str) -> list[Rule]:
    """Rules for a group norm, and for one that is modulated by codes."""
    return [
        Rule(rf"{released}\.(?P<kind>weight|bias)", rf"{ours}.\g<kind>"),
        Rule(rf"{released}\.norm_layer\.(?P<kind>weight|bias)", rf"{ours}.norm.\g<kind>"),
        Rule(rf"{released}\.conv_y\.(?P<kind>weight|bias)", rf"{ours}.scale.\g<kind>"),
        Rule(rf"{released}\.conv_b\.(?P<kind>weight|bias)", rf"{ours}.shift.\g<kind>"),
    ]


def residual(released: str, ours: str, shortcut: str = "nin_shortcut") -> list[Rule]:
    """Rules for residual blocks."""
    return [
        *norm(rf"{released}\.(?P<norm>norm1|norm2)", rf"{ours}.\g<norm>"),
        Rule(rf"{released}\.(?P<conv>conv1|conv2)\.(?P<kind>weight|bias)", rf"{ours}.\g<conv>.\g<kind>"),
        Rule(rf"{released}\.{shortcut}\.(?P<kind>weight|bias)", rf"{ours}.shortcut.\g<kind>"),
    ]


def attention(
    released: str, ours: str, norms: str = "norm", query: str = "", out: str = "proj_out"
) -> list[Rule]:
    """Rules for attention blocks, their projections named by a letter or a word; `join` merges them."""
    part = rf"{released}\.{query}(?P<part>[qkv])(?:uery|ey|alue)?"
    return [
        *norm(rf"{released}\.{norms}", rf"{ours}.norm"),
        Rule(rf"{part}\.weight", rf"{ours}.qkv.weight/\g<part>", kernel),
        Rule(rf"{part}\.bias", rf"{ours}.qkv.bias/\g<part>"),
        Rule(rf"{released}\.{out}\.weight", rf"{ours}.proj.weight", kernel),
        Rule(rf"{released}\.{out}\.bias", rf"{ours}.proj.bias"),
    ]


def kernel(weight: Tensor) -> Tensor:
    """The weight of a linear layer `[out, in]` reshaped to a 1x1 convolution's."""
    return weight[..., None, None] if weight.dim() == 2 else weight


def ends(norm_out: str = "norm_out") -> list[Rule]:
    """Rules for the first and the last layers of both halves, and for those around the quantizer."""
    return [
        Rule(
            r"(?P<half>encoder|decoder)\.(?P<conv>conv_in|conv_out)\.(?P<kind>weight|bias)",
            r"\g<half>.\g<conv>.\g<kind>",
        ),
        *norm(rf"(?P<half>encoder|decoder)\.{norm_out}", r"\g<half>.norm_out"),
        Rule(r"quant_conv\.(?P<kind>weight|bias)", r"encoder.to_latents.\g<kind>"),
        Rule(r"post_quant_conv\.(?P<kind>weight|bias)", r"decoder.from_latents.\g<kind>"),
    ]


_LEVEL = r"(?P<half>encoder|decoder)\.(?P<way>down|up)\.(?P<level>\d+)"
_OURS = r"\g<half>.\g<way>.\g<level>"
_MIDDLE = r"(?P<half>encoder|decoder)\.mid"

NETWORKS: tuple[Rule, ...] = (
    *ends(),
    *residual(rf"{_LEVEL}\.block\.(?P<index>\d+)", rf"{_OURS}.blocks.\g<index>"),
    *attention(rf"{_LEVEL}\.attn\.(?P<index>\d+)", rf"{_OURS}.attentions.\g<index>"),
    Rule(
        rf"{_LEVEL}\.(?P<resample>downsample|upsample)\.conv\.(?P<kind>weight|bias)",
        r"\g<half>.\g<resample>.\g<level>.\g<kind>",
    ),
    *residual(rf"{_MIDDLE}\.block_1", r"\g<half>.mid.before"),
    *attention(rf"{_MIDDLE}\.attn_1", r"\g<half>.mid.attention"),
    *residual(rf"{_MIDDLE}\.block_2", r"\g<half>.mid.after"),
)
"""Encoder and decoder with the layers around the quantizer."""


def finish(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join the projections of attention."""
    return join(tensors, PROJECTIONS)


def autoencoder(tensors: Tensors) -> Record:
    """Infer the record of the networks from their shapes."""
    _, inputs, *_ = shape(tensors, "encoder.conv_in.weight", 4)
    levels = range(count(tensors, r"encoder\.down"))
    halvings = count(tensors, r"encoder\.downsample")
    haar_levels = next((level for level in range(4) if inputs == 3 * 4**level), None)
    if haar_levels is None:
        raise ReleasedWeightsError(f"its encoder takes {inputs} channels, which no wavelets make of 3")
    return {
        "name": "taming",
        **sizes(tensors, "encoder.down.{}.blocks.0.conv1.weight", len(levels)),
        "num_res_blocks": count(tensors, r"encoder\.down\.0\.blocks"),
        "attention_levels": [
            level for level in levels if f"encoder.down.{level}.attentions.0.qkv.weight" in tensors
        ],
        "z_channels": shape(tensors, "encoder.conv_out.weight", 4)[0],
        "halvings": None if halvings == len(levels) - 1 else halvings,
        "decoder_norm": "spatial" if "decoder.norm_out.scale.weight" in tensors else "group",
        "haar_levels": haar_levels,
    }


def sizes(tensors: Tensors, first_convolution: str, levels: int) -> Record:
    """Infer the channels of a convolutional encoder; `first_convolution` is a name with {} for the level.

    Raises:
        ReleasedWeightsError: the channels of a level are not a multiple of the first layer's.
    """
    hidden, *_ = shape(tensors, "encoder.conv_in.weight", 4)
    channels = [shape(tensors, first_convolution.format(level), 4)[0] for level in range(levels)]
    if not channels or any(width % hidden for width in channels):
        raise ReleasedWeightsError(
            f"the levels of its encoder have {channels} channels, which are not multiples of {hidden}"
        )
    return {
        "hidden_channels": hidden,
        "channel_multipliers": [width // hidden for width in channels],
        "norm_groups": NORM_GROUPS,
    }


def tokenizer(networks: Record, latent_dim: int, quantizer: Record) -> Record:
    """Return the record of a tokenizer."""
    return {
        "image_size": IMAGE_SIZE,
        "autoencoder": networks,
        "quantizer": quantizer,
        "latent_dim": latent_dim,
    }


def plain_vq(tensors: Tensors) -> Record:
    """Return the record of a tokenizer that assigns each latent its nearest code."""
    codebook_size, latent_dim = shape(tensors, "quantizer.embedding", 2)
    quantizer = {"name": "vq", "codebook_size": codebook_size, "use_l2_norm": False, **LEGACY_LOSS}
    return tokenizer(autoencoder(tensors), latent_dim, quantizer)


def ignored(*parts: str) -> list[Rule]:
    """Rules that drop whole parts: training losses, discriminators, averages."""
    return [Rule(rf"{part}\..*", None) for part in parts]


CODEBOOK = Rule(r"quantize\.embedding\.weight", "quantizer.embedding")

LAYOUTS: Sequence[Layout] = (
    Layout(
        title="released VQGAN (taming-transformers, latent-diffusion)",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset(
            {"encoder.mid.attn_1.q.weight", "decoder.norm_out.weight", "quantize.embedding.weight"}
        ),
        rules=(*NETWORKS, CODEBOOK, *ignored("loss", "model_ema")),
        finish=finish,
        record=plain_vq,
    ),
)
