"""Open-MAGVIT2's class-conditional transformers (`AR_256_B.ckpt`), in files that hold the tokenizer too."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import OPEN_MAGVIT2_GENERATOR
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.llamagen_generator import autoregressive_record
from sftok.checkpoints.renaming import (
    Record,
    ReleasedWeightsError,
    Rule,
    Tensors,
    count,
    llama_blocks,
    shape,
)


def _record(tensors: Tensors) -> Record:
    sizes = [shape(tensors, f"embeddings.{place}.weight", 2)[0] for place in range(2)]
    bits = [size.bit_length() - 1 for size in sizes]
    if any(2**number != size or number == 0 for number, size in zip(bits, sizes, strict=True)):
        raise ReleasedWeightsError(f"its vocabularies of {sizes[0]} and {sizes[1]} are not powers of 2")
    record = autoregressive_record(tensors, "open-magvit2")
    record["model"] |= {"bits": bits, "intra_depth": count(tensors, "intra")}
    return {**record, "vocabulary": sizes[0] * sizes[1]}


LAYOUTS = (
    Layout(
        title="released Open-MAGVIT2 generator",
        architecture=OPEN_MAGVIT2_GENERATOR,
        markers=frozenset({"transformer.pre_emb.weight", "transformer.post_emb.weight"}),
        rules=(
            Rule(r"transformer\.class_emb\.embedding_table\.weight", "class_embedding.weight"),
            Rule(r"transformer\.pre_emb\.weight", "embeddings.0.weight"),
            Rule(r"transformer\.post_emb\.weight", "embeddings.1.weight"),
            *llama_blocks(r"transformer\.spatial_blocks", "blocks"),
            *llama_blocks(r"transformer\.factorized_blocks", "intra"),
            Rule(r"transformer\.norm\.weight", "norm.weight"),
            Rule(r"transformer\.head\.([01])\.weight", r"heads.\1.weight"),
            # The tokenizer, which is also released separately, and its training losses.
            Rule(r"first_stage_model\..*", None),
        ),
        record=_record,
    ),
)
