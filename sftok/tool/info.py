"""`python -m sftok info`: describe a checkpoint."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sftok.tokenizers.hub import Tokenizer, open_tokenizer
from sftok.tokenizers.sftok import SFTok
from sftok.tool.images import preprocessing
from sftok.tool.tokens import checkpoint_record


def run(options: argparse.Namespace) -> None:
    """Print the description of `options.checkpoint`.

    Raises:
        CheckpointError: see `open_tokenizer`.
    """
    found = describe(open_tokenizer(options.checkpoint, options.seed, options.teacher))
    print(json.dumps(found, indent=1) if options.format == "json" else _text(found))


def describe(tokenizer: Tokenizer) -> dict[str, Any]:
    """Architecture, sizes, parameter counts, codebook, decoding and preprocessing of a tokenizer."""
    parts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in tokenizer.named_children()
    }
    record = checkpoint_record(tokenizer)
    decoding = tokenizer.decoding.model_dump() if isinstance(tokenizer, SFTok) else {"steps": 1}
    return {
        "architecture": tokenizer.architecture,
        "image_size": tokenizer.image_size,
        "num_tokens": tokenizer.num_tokens,
        "codebook_size": tokenizer.codebook_size,
        "parameters": {**parts, "total": sum(parameter.numel() for parameter in tokenizer.parameters())},
        "decoding": decoding,
        "preprocessing": preprocessing(tokenizer.image_size),
        "identity": record["identity"],
        "config": tokenizer.record.model_dump(mode="json"),
    }


def _text(found: dict[str, Any]) -> str:
    size, codes = found["image_size"], found["codebook_size"]
    source = f"from a codebook of {codes}" if codes else "continuous latents without ids"
    rows = {
        "architecture": found["architecture"],
        "images": f"{size} x {size}; {found['preprocessing']['transform']}; values in [0, 1]",
        "tokens": f"{found['num_tokens']} per image, {source}",
        "decoding": ", ".join(f"{name} {value}" for name, value in found["decoding"].items()),
        **{f"{name} parameters": f"{count:,}" for name, count in found["parameters"].items()},
        "identity": found["identity"],
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())
