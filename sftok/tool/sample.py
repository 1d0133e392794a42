"""`python -m sftok sample`: images of every class in turn, as ADM's `.npz`: `arr_0` images, `arr_1` labels.

Values are truncated to 8 bits, as ADM and this package's evaluation do.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from sftok.data.npz import IMAGES, LABELS, write_array
from sftok.decoding.guidance import GenerationConfig
from sftok.generation import DecodeTokens, generate
from sftok.generators.base import Generator
from sftok.generators.hub import open_generator
from sftok.tokenizers.hub import Tokenizer, open_tokenizer
from sftok.tokenizers.pixel import PixelTokenizer
from sftok.tokenizers.sftok import SFTok
from sftok.tool.device import place
from sftok.tool.errors import ToolError
from sftok.tool.output import complete_file, progress

OPTIONS = ("steps", "temperature", "guidance_scale", "guidance_schedule")


def run(options: argparse.Namespace) -> None:
    """Sample `options.number` images with a generator and the tokenizer of its ids.

    Raises:
        ToolError: the two do not fit each other, or the output has another suffix.
        CheckpointError: see `open_tokenizer`.
        ConfigError: a sampling setting is out of range.
        OSError: the output cannot be written.
    """
    output: Path = options.output
    if output.is_dir():
        raise ToolError(f"{output} is a folder; choose a file for the images")
    if output.suffix != ".npz":
        raise ToolError(f"{output}: must end in .npz")
    changes = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    sampling = GenerationConfig.build(changes)
    model = open_generator(options.generator)
    tokenizer = open_tokenizer(options.checkpoint, options.seed, options.teacher)
    _check(model, tokenizer, options)
    _refuse_ignored(model, sampling, changes)
    device = place(tokenizer, options.device)
    model.to(device)
    labels = torch.arange(options.number) % model.num_classes
    noise = torch.Generator(device).manual_seed(options.seed)
    decode = _decoder(tokenizer)

    def batches() -> Iterator[np.ndarray]:
        with progress("sampling", options.number) as advance:
            for part in labels.split(options.batch_size):
                images = generate(model, decode, part.to(device), sampling, noise).images
                advance(len(part))
                yield (images.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).cpu().numpy()

    side = tokenizer.image_size
    with complete_file(output) as file, zipfile.ZipFile(file, "w") as archive:
        write_array(archive, IMAGES, (options.number, side, side, 3), np.dtype(np.uint8), batches())
        write_array(archive, LABELS, (options.number,), np.dtype(np.int64), [labels.numpy()])


def _check(model: Generator, tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    made_for, codes = model.tokens, tokenizer.codebook_size or None
    dim = tokenizer.config.latent_dim if codes is None and isinstance(tokenizer, PixelTokenizer) else None
    given = (tokenizer.num_tokens, codes, dim)
    wanted = (made_for.num_tokens, made_for.vocabulary, made_for.latent_dim)
    if wanted != given:
        raise ToolError(
            f"{options.generator}: makes {_described(*wanted)}, but {options.checkpoint} has "
            f"{_described(*given)}; give the tokenizer that it was trained with"
        )


def _described(number: int, codes: int | None, dim: int | None) -> str:
    return f"{number} latents of {dim} channels" if codes is None else f"{number} ids of {codes}"


def _refuse_ignored(model: Generator, sampling: GenerationConfig, given: Mapping[str, object]) -> None:
    if "steps" in given and model.sampling_steps(sampling) != sampling.steps:
        raise ToolError(f"--steps: this generator always samples in {model.sampling_steps(sampling)} steps")
    if "temperature" in given and "temperature" not in model.coordinates(sampling):
        raise ToolError("--temperature: this generator has none")


def _decoder(tokenizer: Tokenizer) -> DecodeTokens:
    if isinstance(tokenizer, SFTok):
        return lambda ids, noise: tokenizer.decode(ids, generator=noise)
    return lambda ids, noise: tokenizer.decode(ids)
