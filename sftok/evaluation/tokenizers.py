"""How an evaluation sees what it measures: a tokenizer encodes once, and decodes with each decoding.

What has no token ids (an autoencoder with continuous latents, a codec, images on disk) is a `Reconstructor`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import OnStep, Unmasked
from sftok.evaluation.config import EvaluationConfig, Precision
from sftok.randomness import generator


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a decoding gives for a batch.

    Attributes:
        images: float32 `[B, 3, H, W]` in [0, 1].
        codes: int64 `[B, N]`, the teacher codes that the images were decoded from, if they were.
        bits: float64 `[B]`, what each image was decoded from takes, if that is known.
    """

    images: Tensor
    codes: Tensor | None = None
    bits: Tensor | None = None


Decode = Callable[[Batch, Tensor | None], Decoded]
"""A batch of originals and its ids `[B, K]` (None without ids) to reconstructions."""


class Tokenizer(Protocol):
    """What can be evaluated, an `nn.Module` with these methods.

    A continuous tokenizer has latents `[B, N, D]` in the place of ids; metrics of ids are left out.

    A tokenizer that decodes iteratively has `decode_codes` too (`IterativeTokenizer`), and is measured at
    every number of steps. Any other is measured once. Its rows have `steps` 1 if its attribute `single_step`
    is true (a 1D tokenizer that belongs beside iterative ones), and otherwise no `steps`.
    """

    @property
    def codebook_size(self) -> int | None:
        """The number of different ids; None if it is not known, 0 if there are none."""

    def encode(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to ids int64 `[B, K]`."""

    def decode(self, ids: Tensor) -> Tensor:
        """Ids `[B, K]` to images `[B, 3, H, W]` in [0, 1]."""

    def to(self, device: torch.device) -> Self:
        """Move to `device`."""

    def eval(self) -> Any:
        """Leave training mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights, on the device of the evaluation."""


class PixelDecoder(Protocol):
    """What turns a teacher's codes into pixels."""

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes `[B, N]` to images `[B, 3, H, W]`, not clamped."""

    def decode_soft(self, logits: Tensor) -> Tensor:
        """Logits `[B, N, V]` to images `[B, 3, H, W]`, not clamped."""


class IterativeTokenizer(Protocol):
    """A tokenizer that predicts a teacher's codes in steps, such as SFTok."""

    pixel_decoder: PixelDecoder

    def decode_codes(
        self, ids: Tensor, decoding: DecodingConfig, generator: torch.Generator, on_step: OnStep | None = None
    ) -> Unmasked:
        """Ids `[B, K]` to codes `[B, N]` and the last logits `[B, N, V]`."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """One way of decoding that is measured.

    Attributes:
        name: of its example images.
        coordinates: of its rows.
        passes: of the decoder, for the estimate of progress.
        gives_codes: whether `decode` returns codes.
        gives_bits: whether it returns bits.
        decode: a batch to reconstructions; called from several threads.
    """

    name: str
    coordinates: Mapping[str, Any]
    passes: int
    gives_codes: bool = False
    gives_bits: bool = False
    decode: Decode


class Reconstructor(ABC):
    """Turns images into reconstructions without token ids."""

    device = torch.device("cpu")
    """Where it takes images."""

    def to(self, device: torch.device) -> Self:
        """Take and give images on `device`; one that computes there is moved, too."""
        self.device = device
        return self

    @abstractmethod
    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """The ways of reconstructing that are measured; `subject` names the only one."""


def device_of(measured: Tokenizer | Reconstructor) -> torch.device:
    """Where images are reconstructed."""
    if isinstance(measured, Reconstructor):
        return measured.device
    return next(measured.parameters()).device


def decodings(measured: Tokenizer | Reconstructor, config: EvaluationConfig, subject: str) -> list[Decoding]:
    """The decodings that are measured; `subject` names the only one of a tokenizer without steps."""
    if isinstance(measured, Reconstructor):
        return measured.decodings(config, subject)
    if hasattr(measured, "decode_codes"):
        found = [_iterative(cast(IterativeTokenizer, measured), config, steps) for steps in config.steps]
    else:
        found = [_single(measured, subject)]
    return [_with_bits(each, measured) for each in found]


def _single(tokenizer: Tokenizer, subject: str) -> Decoding:
    def decode(batch: Batch, ids: Tensor | None) -> Decoded:
        assert ids is not None
        return Decoded(images=tokenizer.decode(ids))

    in_one_step = getattr(tokenizer, "single_step", False)
    return Decoding(
        name="T1" if in_one_step else subject,
        coordinates={"steps": 1} if in_one_step else {},
        passes=1,
        decode=decode,
    )


def _with_bits(decoding: Decoding, tokenizer: Tokenizer) -> Decoding:
    """A decoding whose images come with the bits of their ids in a code of fixed length, if that is known."""
    if tokenizer.codebook_size is None:
        return decoding
    codes, own = tokenizer.codebook_size, getattr(tokenizer, "bits_per_image", None)

    def decode(batch: Batch, ids: Tensor | None) -> Decoded:
        assert ids is not None
        bits = ids.shape[1] * math.log2(codes) if own is None else own
        return replace(
            decoding.decode(batch, ids), bits=torch.full((len(ids),), float(bits), dtype=torch.float64)
        )

    return replace(decoding, decode=decode, gives_bits=True)


def _iterative(tokenizer: IterativeTokenizer, config: EvaluationConfig, steps: int) -> Decoding:
    decoding = config.decoding(steps)

    def decode(batch: Batch, ids: Tensor | None) -> Decoded:
        assert ids is not None
        # A generator for each batch: no draw depends on what was decoded before, or on which thread.
        noise = generator(config.seed, "decode", steps, int(batch.indices[0]), device=ids.device)
        images, codes = decode_ids(tokenizer, ids, decoding, config.precision, noise)
        return Decoded(images=images, codes=codes)

    coordinates = {"steps": steps, "temperature": config.temperature}
    return Decoding(name=f"T{steps}", coordinates=coordinates, passes=steps, gives_codes=True, decode=decode)


def decode_ids(
    tokenizer: IterativeTokenizer,
    ids: Tensor,
    decoding: DecodingConfig,
    precision: Precision,
    noise: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Ids `[B, K]` to images `[B, 3, H, W]` in [0, 1] and the codes `[B, N]` that they come from.

    `precision` is that of the decoder's passes alone; `noise` is on the ids' device.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=precision == "bf16"):
        unmasked = tokenizer.decode_codes(ids, decoding, noise)
    if decoding.final_lookup == "soft":
        images = tokenizer.pixel_decoder.decode_soft(unmasked.logits.float())
    else:
        images = tokenizer.pixel_decoder.decode_codes(unmasked.ids)
    return images.clamp(0, 1), unmasked.ids
