"""The interface of an evaluation's subjects: a tokenizer encodes once, then runs every decoding.

A subject without token ids (an autoencoder with continuous latents, a codec, images on disk) is a
`Reconstructor`.
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
    """The output of a decoding for a batch.

    Attributes:
        images: float32 `[B, 3, H, W]` in [0, 1].
        codes: int64 `[B, N]`, the teacher's codes from which the images were decoded, if any.
        bits: float64 `[B]`, the size of the representation of each image, if known.
    """

    images: Tensor
    codes: Tensor | None = None
    bits: Tensor | None = None


Decode = Callable[[Batch, Tensor | None], Decoded]
"""Maps a batch of originals and its ids `[B, K]` (None without ids) to reconstructions."""


class Tokenizer(Protocol):
    """A tokenizer that can be evaluated: an `nn.Module` with these methods.

    A continuous tokenizer has latents `[B, N, D]` in place of ids; metrics of ids are omitted.

    A tokenizer that decodes iteratively also has `decode_codes` (`IterativeTokenizer`), and is measured at
    every number of steps. Any other is measured once. Its rows have `steps` 1 if its attribute `single_step`
    is true (a 1D tokenizer to be compared with iterative ones), and otherwise no `steps`.
    """

    @property
    def codebook_size(self) -> int | None:
        """Number of distinct ids; None if unknown, 0 if there are none."""

    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`."""

    def decode(self, ids: Tensor) -> Tensor:
        """Decode ids `[B, K]` to images `[B, 3, H, W]` in [0, 1]."""

    def to(self, device: torch.device) -> Self:
        """Move to `device`."""

    def eval(self) -> Any:
        """Leave training mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights, on the device of the evaluation."""


class PixelDecoder(Protocol):
    """Decodes a teacher's codes to pixels."""

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Decode codes `[B, N]` to images `[B, 3, H, W]`, not clamped."""

    def decode_soft(self, logits: Tensor) -> Tensor:
        """Decode logits `[B, N, V]` to images `[B, 3, H, W]`, not clamped."""


class IterativeTokenizer(Protocol):
    """A tokenizer that predicts a teacher's codes in steps, such as SFTok."""

    pixel_decoder: PixelDecoder

    def decode_codes(
        self, ids: Tensor, decoding: DecodingConfig, generator: torch.Generator, on_step: OnStep | None = None
    ) -> Unmasked:
        """Decode ids `[B, K]` to codes `[B, N]` and the last logits `[B, N, V]`."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """A decoding that is measured.

    Attributes:
        name: the name of its example images.
        coordinates: the coordinates of its rows.
        passes: number of decoder passes, for the estimate of progress.
        gives_codes: whether `decode` returns codes.
        gives_bits: whether `decode` returns bits.
        decode: reconstructs a batch; called from several threads.
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
    """Device of its inputs."""

    def to(self, device: torch.device) -> Self:
        """Take and return images on `device`; modules that compute there are moved, too."""
        self.device = device
        return self

    @abstractmethod
    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """Return the decodings that are measured; `subject` names the only one."""


def device_of(measured: Tokenizer | Reconstructor) -> torch.device:
    """Return the device on which images are reconstructed."""
    if isinstance(measured, Reconstructor):
        return measured.device
    return next(measured.parameters()).device


def decodings(measured: Tokenizer | Reconstructor, config: EvaluationConfig, subject: str) -> list[Decoding]:
    """Return the decodings that are measured; `subject` names the only one of a tokenizer without steps."""
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
    """Add the bits of the ids in a fixed-length code to the output of a decoding, if known."""
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
        # Each batch has its own generator, so no draw depends on earlier batches or on the thread.
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
    """Decode ids `[B, K]` to images `[B, 3, H, W]` in [0, 1] and the codes `[B, N]` that they come from.

    `precision` applies only to the decoder's passes; `noise` is on the ids' device.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=precision == "bf16"):
        unmasked = tokenizer.decode_codes(ids, decoding, noise)
    if decoding.final_lookup == "soft":
        images = tokenizer.pixel_decoder.decode_soft(unmasked.logits.float())
    else:
        images = tokenizer.pixel_decoder.decode_codes(unmasked.ids)
    return images.clamp(0, 1), unmasked.ids
