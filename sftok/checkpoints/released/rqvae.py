"""RQ-VAE (kakaobrain): the networks of taming-transformers, and one codebook, stored once per depth."""

from __future__ import annotations

from torch import Tensor

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import NETWORKS, autoencoder, finish, tokenizer
from sftok.checkpoints.renaming import Record, Rule, Tensors, shape

DEPTH = 4
"""Depth of every release; a shared codebook does not determine it once the copies are dropped."""

_FIRST, _OTHERS = r"quantizer\.codebooks\.0", r"quantizer\.codebooks\.[1-9]\d*"


def _without_padding(codes: Tensor) -> Tensor:
    """Drop the last code, which is padding and never chosen."""
    return codes[:-1]


def _record(tensors: Tensors) -> Record:
    codebook_size, latent_dim = shape(tensors, "quantizer.codes", 2)
    quantizer = {"name": "residual", "codebook_size": codebook_size, "depth": DEPTH}
    return tokenizer(autoencoder(tensors), latent_dim, quantizer)


LAYOUTS = (
    Layout(
        title="released RQ-VAE",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid.attn_1.q.weight", "quantizer.codebooks.0.weight"}),
        rules=(
            *NETWORKS,
            Rule(rf"{_FIRST}\.weight", "quantizer.codes", _without_padding),
            Rule(rf"{_FIRST}\.cluster_size_ema", "quantizer.usage"),
            Rule(rf"{_FIRST}\.embed_ema", "quantizer.sums"),
            Rule(rf"{_OTHERS}\.(weight|cluster_size_ema|embed_ema)", None),
        ),
        finish=finish,
        record=_record,
    ),
)
