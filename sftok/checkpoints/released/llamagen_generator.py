"""LlamaGen's class-conditional transformers (`c2i_L_256.pt`).

No tensor determines the number of tokens. The wider models were published only for 384 pixels, with 24x24
tokens; a file of the narrower ones is taken for one of 256 pixels, as `c2i_B_384.pt` looks the same.
"""

from __future__ import annotations

from sftok.checkpoints.checkpoint import LLAMAGEN_GENERATOR
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.renaming import HEAD_WIDTH, Record, Rule, Tensors, count, llama_blocks, shape

NUM_TOKENS = 256
"""Tokens at 256 pixels."""

WIDEST_AT_256, NUM_TOKENS_AT_384 = 1024, 576
"""Width of LlamaGen-L, the widest model for 256 pixels, and the tokens of wider ones."""

_WIDTH_3B, _HEADS_3B = 3200, 32


def autoregressive_record(tensors: Tensors, name: str) -> Record:
    """Infer the record values that both autoregressive generators share; `name` is the generator's name."""
    classes, width = shape(tensors, "class_embedding.weight", 2)
    heads = None if width % HEAD_WIDTH else width // HEAD_WIDTH
    model = {
        "name": name,
        "width": width,
        "depth": count(tensors, "blocks"),
        "heads": _HEADS_3B if width == _WIDTH_3B else heads,
        "dropout": 0.1,
    }
    return {"model": model, "num_tokens": NUM_TOKENS, "num_classes": classes - 1}


def _record(tensors: Tensors) -> Record:
    vocabulary, _ = shape(tensors, "embeddings.0.weight", 2)
    record = autoregressive_record(tensors, "llamagen")
    if record["model"]["width"] > WIDEST_AT_256:
        record["num_tokens"] = NUM_TOKENS_AT_384
    return {**record, "vocabulary": vocabulary}


LAYOUTS = (
    Layout(
        title="released LlamaGen generator",
        architecture=LLAMAGEN_GENERATOR,
        markers=frozenset({"cls_embedding.embedding_table.weight", "tok_embeddings.weight"}),
        rules=(
            Rule(r"cls_embedding\.embedding_table\.weight", "class_embedding.weight"),
            Rule(r"tok_embeddings\.weight", "embeddings.0.weight"),
            *llama_blocks("layers", "blocks"),
            Rule(r"norm\.weight", "norm.weight"),
            Rule(r"output\.weight", "heads.0.weight"),
            # Older files store the table of rotations, which is computed here.
            Rule("freqs_cis", None),
        ),
        record=_record,
    ),
)
