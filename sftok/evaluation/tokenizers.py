"""How an evaluation sees a tokenizer: it encodes once, and decodes with each decoding that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import OnStep, Unmasked
from sftok.evaluation.config import EvaluationConfig, Precision
from sftok.randomness import generator

Decode = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
"""Ids `[B, K]` and the place of the first of them in the image set, to images `[B, 3, H, W]` in [0, 1] and
the teacher codes `[B, N]` that these were decoded from, if they were."""


class Tokenizer(Protocol):
    """What can be evaluated, an `nn.Module` with these methods.

    A continuous tokenizer has latents `[B, N, D]` in the place of ids; metrics of ids are left out.

    A tokenizer that decodes iteratively has `decode_codes` too (`IterativeTokenizer`), and is measured at
    every number of steps. Any other is measured once. Its rows have `steps` 1 if its attribute `single_step`
    is true (a 1D tokenizer that belongs beside iterative ones), and otherwise no `steps`.
    """

    @property
    def codebook_size(self) -> int:
        """The number of different ids; 0 if there are none."""

    def encode(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to ids int64 `[B, K]`."""

    def decode(self, ids: Tensor) -> Tensor:
        """Ids `[B, K]` to images `[B, 3, H, W]` in [0, 1]."""

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
        decode: ids to images; called from several threads.
    """

    name: str
    coordinates: Mapping[str, Any]
    passes: int
    gives_codes: bool
    decode: Decode


def decodings(tokenizer: Tokenizer, config: EvaluationConfig, subject: str) -> list[Decoding]:
    """The decodings that are measured; `subject` names the only one of a tokenizer without steps."""
    if hasattr(tokenizer, "decode_codes"):
        return [_iterative(cast(IterativeTokenizer, tokenizer), config, steps) for steps in config.steps]
    in_one_step = getattr(tokenizer, "single_step", False)
    return [
        Decoding(
            name="T1" if in_one_step else subject,
            coordinates={"steps": 1} if in_one_step else {},
            passes=1,
            gives_codes=False,
            decode=lambda ids, first: (tokenizer.decode(ids), None),
        )
    ]


def _iterative(tokenizer: IterativeTokenizer, config: EvaluationConfig, steps: int) -> Decoding:
    decoding = config.decoding(steps)

    def decode(ids: Tensor, first: int) -> tuple[Tensor, Tensor]:
        # A generator for each batch: no draw depends on what was decoded before, or on which thread.
        noise = generator(config.seed, "decode", steps, first, device=ids.device)
        return decode_ids(tokenizer, ids, decoding, config.precision, noise)

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
