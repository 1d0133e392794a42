"""VQGAN-LC: the networks of taming-transformers, a codebook of given vectors, and its projector."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import NETWORKS, autoencoder, finish, ignored, tokenizer
from sftok.checkpoints.renaming import Record, Rule, Tensors, shape


def _record(tensors: Tensors) -> Record:
    codebook_size, source_dim = shape(tensors, "quantizer.source", 2)
    latent_dim, _ = shape(tensors, "quantizer.projection.weight", 2)
    quantizer = {"name": "projected", "codebook_size": codebook_size, "source_dim": source_dim}
    return tokenizer(autoencoder(tensors), latent_dim, quantizer)


LAYOUTS = (
    Layout(
        title="released VQGAN-LC",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"tok_embeddings.weight", "codebook_projection.weight"}),
        rules=(
            *NETWORKS,
            Rule(r"tok_embeddings\.weight", "quantizer.source"),
            Rule(r"codebook_projection\.(weight|bias)", r"quantizer.projection.\1"),
            *ignored("perceptual_loss", "discriminator"),
        ),
        finish=finish,
        record=_record,
    ),
)
