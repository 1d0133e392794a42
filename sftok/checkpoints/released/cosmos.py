"""COSMOS (Cosmos-Tokenizer DI): the networks of taming-transformers on wavelet coefficients, and FSQ."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import NETWORKS, autoencoder, finish, tokenizer
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, shape

LEVELS = (8, 8, 8, 5, 5, 5)
"""Quantization levels of every discrete release; the weights do not determine them."""


def _record(tensors: Tensors) -> Record:
    latent_dim, *_ = shape(tensors, "encoder.to_latents.weight", 4)
    if latent_dim != len(LEVELS):
        raise ReleasedWeightsError(f"its latents have {latent_dim} channels, not {len(LEVELS)}")
    return tokenizer(autoencoder(tensors), latent_dim, {"name": "fsq", "levels": LEVELS})


def _takes_wavelets(tensors: Tensors) -> bool:
    return tensors["encoder.conv_in.weight"].shape[1:2] != (3,)


LAYOUTS = (
    Layout(
        title="released Cosmos-Tokenizer (discrete images)",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid.attn_1.q.weight", "encoder.conv_in.weight"}),
        rules=(
            *NETWORKS,
            # Constants of the TorchScript archive.
            Rule(r"(encoder\.patcher|decoder\.unpatcher)\.(wavelets|_arange)", None),
            Rule(r"quantizer\.(_levels|_basis|implicit_codebook)", None),
        ),
        finish=finish,
        record=_record,
        tells=_takes_wavelets,
    ),
)
