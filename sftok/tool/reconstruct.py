"""`python -m sftok reconstruct`: reconstruct images, given image files or the ids of a token file.

Values are rounded to the nearest of 256. (The evaluation protocol truncates, as the release does.)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from sftok.decoding.schedule import DecodingConfig
from sftok.tokenizers.hub import Tokenizer, open_tokenizer
from sftok.tokenizers.sftok import SFTok
from sftok.tool.device import place
from sftok.tool.errors import ToolError
from sftok.tool.images import find_images, output_names, read_batches
from sftok.tool.output import complete_file, progress
from sftok.tool.tokens import TokenFile, check_tokens, load_tokens

TOKEN_SUFFIX = ".npz"

Decode = Callable[[Tensor], Tensor]
IdBatch = tuple[list[str], Tensor, int]
"""Files, their ids `[B, K]`, and the number of files read for them."""


def run(options: argparse.Namespace) -> None:
    """Reconstruct `options.inputs` into the folder `options.output`.

    Raises:
        ToolError: see the modules of `sftok.tool`.
        CheckpointError: see `open_tokenizer`.
        ConfigError: steps or temperature are out of range.
        OSError: the output cannot be written.
    """
    tokens = _tokens(options.inputs)
    files = tokens.files if tokens else find_images(options.inputs)
    targets = _targets(files, options.output)
    tokenizer = open_tokenizer(options.checkpoint, options.seed, options.teacher)
    if tokens:
        check_tokens(options.inputs[0], tokens, tokenizer)
    device = place(tokenizer, options.device)
    decode = _decoder(tokenizer, device, options)
    batches = _stored(tokens, options) if tokens else _encoded(files, tokenizer, device, options)
    with progress("reconstructing", len(files)) as advance:
        for names, ids, seen in batches:
            for name, image in zip(names, decode(ids.to(device)), strict=True):
                _write(targets[name], image)
            advance(seen)


def _tokens(inputs: list[str]) -> TokenFile | None:
    given = [name for name in inputs if name.endswith(TOKEN_SUFFIX)]
    if not given:
        return None
    if len(inputs) > 1:
        raise ToolError(f"{given[0]}: a token file must be the only input; leave out the other inputs")
    return load_tokens(Path(given[0]))


def _targets(files: list[str], output: Path) -> dict[str, Path]:
    if output.exists() and not output.is_dir():
        raise ToolError(f"{output} is not a folder; choose a folder for the images")
    targets = {file: output / name for file, name in zip(files, output_names(files), strict=True)}
    originals = {Path(file).resolve() for file in files}
    folders = {original.parent for original in originals}
    for target in targets.values():
        if target.resolve() in originals:
            raise ToolError(f"{target} is itself an input image; choose another folder")
        if target.exists() and target.parent.resolve() in folders:
            raise ToolError(f"{target} already exists, beside the images; choose another folder")
    return targets


def _decoder(tokenizer: Tokenizer, device: torch.device, options: argparse.Namespace) -> Decode:
    changes = {name: getattr(options, name) for name in ("steps", "temperature")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if isinstance(tokenizer, SFTok):
        decoding = DecodingConfig.build({**tokenizer.decoding.model_dump(), **changes})
        noise = torch.Generator(device).manual_seed(options.seed)
        return partial(tokenizer.decode, decoding=decoding, generator=noise)
    if changes:
        option = next(iter(changes))
        raise ToolError(f"--{option}: model {tokenizer.architecture!r} decodes in one step; omit this option")
    return tokenizer.decode


def _stored(tokens: TokenFile, options: argparse.Namespace) -> Iterator[IdBatch]:
    for start in range(0, len(tokens.files), options.batch_size):
        part = slice(start, start + options.batch_size)
        names = tokens.files[part]
        yield names, tokens.ids[part], len(names)


def _encoded(
    files: list[str], tokenizer: Tokenizer, device: torch.device, options: argparse.Namespace
) -> Iterator[IdBatch]:
    for batch in read_batches(files, tokenizer.image_size, options.batch_size, options.unreadable):
        yield batch.files, tokenizer.encode(batch.images.to(device)), batch.seen


def _write(path: Path, image: Tensor) -> None:
    values = rearrange((image * 255).round().to(torch.uint8), "c h w -> h w c").cpu().numpy()
    with complete_file(path) as file:
        Image.fromarray(values).save(file, "PNG")
