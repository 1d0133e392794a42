"""The class-conditional MaskGIT generator, a BERT with Hugging Face's names."""

from __future__ import annotations

from torch import Tensor

from sftok.checkpoints.checkpoint import MASKGIT_GENERATOR
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, count, join, shape

HEADS = 16

_LAYER = r"model\.encoder\.layer\.(\d+)"
_ATTENTION = rf"{_LAYER}\.attention"


def _join(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Split the word embeddings, and join queries, keys and values into one projection.

    The embeddings are those of the ids, the mask, the classes and the null class. BERT's token types are all
    0 here, so the first type embedding is added to every position and the second is dropped.

    Raises:
        ReleasedWeightsError: tensors to be joined are missing or their shapes do not match.
    """
    for part in ("words", "types", "position_embedding", "head.weight"):
        shape(tensors, part, 2)
    words, ids = tensors.pop("words"), len(tensors["head.weight"]) + 1
    types, positions = tensors.pop("types"), tensors["position_embedding"]
    if types.shape[1] != positions.shape[1]:
        raise ReleasedWeightsError("its tensors do not fit each other (token types and positions)")
    tensors["token_embedding.weight"] = words[:ids]
    tensors["class_embedding.weight"] = words[ids:]
    tensors["position_embedding"] = positions + types[0]
    return join(tensors, ("query", "key", "value"))


def _record(tensors: Tensors) -> Record:
    positions, width = shape(tensors, "position_embedding", 2)
    classes, _ = shape(tensors, "class_embedding.weight", 2)
    vocabulary, _ = shape(tensors, "head.weight", 2)
    hidden, _ = shape(tensors, "blocks.0.mlp.fc1.weight", 2)
    if width % HEADS:
        raise ReleasedWeightsError(
            f"its width of {width} is not divisible by {HEADS} heads: give its configuration"
        )
    model = {
        "name": "maskgit",
        "width": width,
        "depth": count(tensors, "blocks"),
        "heads": HEADS,
        "mlp_ratio": hidden // width,
        "dropout": 0.1,
    }
    return {
        "model": model,
        "num_tokens": positions - 1,
        "vocabulary": vocabulary,
        "num_classes": classes - 1,
    }


LAYOUTS = (
    Layout(
        title="released MaskGIT generator",
        architecture=MASKGIT_GENERATOR,
        markers=frozenset({"model.embeddings.word_embeddings.weight", "model.lm_head.weight"}),
        # `words`, `types` and names with a slash are intermediate; `_join` splits or joins them.
        rules=(
            Rule(r"model\.embeddings\.word_embeddings\.weight", "words"),
            Rule(r"model\.embeddings\.token_type_embeddings\.weight", "types"),
            Rule(r"model\.embeddings\.position_embeddings\.weight", "position_embedding"),
            Rule(r"model\.embeddings\.LayerNorm\.(weight|bias)", r"norm_in.\1"),
            Rule(rf"{_ATTENTION}\.self\.(query|key|value)\.(weight|bias)", r"blocks.\1.attn.qkv.\3/\2"),
            Rule(rf"{_ATTENTION}\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
            Rule(rf"{_ATTENTION}\.output\.LayerNorm\.(weight|bias)", r"blocks.\1.norm1.\2"),
            Rule(rf"{_LAYER}\.intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
            Rule(rf"{_LAYER}\.output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
            Rule(rf"{_LAYER}\.output\.LayerNorm\.(weight|bias)", r"blocks.\1.norm2.\2"),
            Rule(r"model\.lm_head\.(weight|bias)", r"head.\1"),
        ),
        finish=_join,
        record=_record,
    ),
)
