"""`python -m sftok tokenize`: encode images to a token file."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sftok.tokenizers.hub import open_tokenizer
from sftok.tool.device import place
from sftok.tool.errors import ToolError
from sftok.tool.images import find_images, read_batches
from sftok.tool.output import complete_file, progress
from sftok.tool.tokens import write_tokens


def run(options: argparse.Namespace) -> None:
    """Tokenize `options.images`.

    Raises:
        ToolError: see the modules of `sftok.tool`.
        CheckpointError: see `open_tokenizer`.
        OSError: the output cannot be written.
    """
    output: Path = options.output
    if output.is_dir():
        raise ToolError(f"{output} is a folder; choose a file for the ids")
    if output.suffix != ".npz":
        raise ToolError(f"{output}: token files must end in .npz, by which `reconstruct` recognizes them")
    files = find_images(options.images)
    tokenizer = open_tokenizer(options.checkpoint, options.seed, options.teacher)
    if not tokenizer.codebook_size:
        raise ToolError(
            f"{options.checkpoint}: its latents are continuous, so there are no ids to write; "
            "`reconstruct` and `evaluate` take it"
        )
    device = place(tokenizer, options.device)
    batches = read_batches(files, tokenizer.image_size, options.batch_size, options.unreadable)
    kept, ids = [], []
    # Opened first, so that a path which cannot be written is reported before the work.
    with complete_file(output) as file, progress("tokenizing", len(files)) as advance:
        for batch in batches:
            ids.append(tokenizer.encode(batch.images.to(device)).cpu())
            kept += batch.files
            advance(batch.seen)
        write_tokens(file, torch.cat(ids), kept, tokenizer)
