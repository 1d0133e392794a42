"""The value of a context: the terms of Appendix C, for true codes and for the model's own codes as context.

Appendix C compares the entropy of a code given the tokens alone, `H(m_i | Z_q)` of equation 2, with that
given a context of other codes, `H(m_i | Z_q, m_context)` of equation 3; their difference is the mutual
information of equation 4. A decoder's cross-entropy is an upper bound on each (C.1: it is the entropy plus a
divergence). The paper sums over the codes of an image; here everything is a mean over codes. The contexts,
all measured on the same masked positions:

- *single*: no context, every code is masked;
- *true*: visible positions show the teacher's codes, as in vanilla training; a real source of information;
- *own*: visible positions show the decoder's own first-step prediction, as in decoding. That prediction is a
  function of `Z_q` (and of noise), so it carries no information about the true codes beyond `Z_q`, and the
  mutual information of equation 4 is zero: any gain comes from computation, not information;
- *second pass*: every position shows the first-step prediction, and none is masked. It isolates the effect of
  computation: it also takes two passes, but does not reveal codes in any order.

The difference own - true is the exposure gap, on which the paper's argument rests (Section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, get_args

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from sftok.analysis.base import ACCURACY, AnalysisConfig
from sftok.analysis.running import Number, RunningMeans
from sftok.evaluation.config import EvaluationConfig
from sftok.metrics.quantity import Quantity
from sftok.tokenizers.sftok import SFTok

Context = Literal["single", "true", "own", "second_pass"]

CONTEXTS: tuple[Context, ...] = get_args(Context)
"""The contexts, in the order of reports."""

GAPS: dict[str, tuple[Context, Context]] = {
    "information_gain": ("single", "true"),
    "computation_gain": ("single", "own"),
    "second_pass_gain": ("single", "second_pass"),
    "exposure_gap": ("own", "true"),
}
"""Gaps by name: the first context's cross-entropy minus the second's."""


def _gap(name: str, label: str, direction: Literal[-1, 1], meaning: str) -> Quantity:
    return Quantity(name=name, label=label, direction=direction, unit="nats", meaning=meaning)


class ContextsConfig(AnalysisConfig, name="contexts"):
    """Settings for Appendix C; the paper gives neither the number of images nor the visible share."""

    quantities = (
        Quantity(
            name="cross_entropy",
            label="Cross-entropy",
            direction=-1,
            unit="nats per code",
            meaning="of the teacher's codes",
        ),
        ACCURACY,
        Quantity(
            name="accuracy_bound",
            label="Bound of the accuracy",
            direction=1,
            meaning="mean of the largest probability",
        ),
        _gap("information_gain", "Information gain", 1, "no context minus true codes"),
        _gap("computation_gain", "Computation gain", 1, "no context minus own codes"),
        _gap("second_pass_gain", "Gain of a second pass", 1, "no context minus second pass"),
        _gap("exposure_gap", "Exposure gap", -1, "own codes minus true codes"),
    )

    visible_fractions: tuple[float, ...] = Field(default=(0.25, 0.5, 0.75), min_length=1)
    """Shares of the codes that are visible."""
    contexts: tuple[Context, ...] = Field(default=CONTEXTS, min_length=1)
    """Contexts to measure; a decoder that never learned to read visible codes supports only `single`."""

    @field_validator("visible_fractions")
    @classmethod
    def _leave_something_to_predict(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < fraction < 1 for fraction in fractions) or len(set(fractions)) != len(fractions):
            raise ValueError("each fraction must lie between 0 and 1, without duplicates")
        return fractions

    def build(self) -> ContextStatistics:
        """Build an empty statistic."""
        return ContextStatistics(self.visible_fractions, self.contexts)

    def fitted(self, evaluation: EvaluationConfig, *, single_step: bool) -> Self:
        """Measure only `single` if the decoder never saw a visible code in training."""
        return self.model_copy(update={"contexts": ("single",)}) if single_step else self


class ContextStatistics:
    """Predictions of a decoder at masked positions, for each context and visible fraction.

    Every context has three quantities: the `cross_entropy` in nats (an upper bound on equation 3 with true
    codes, on equation 2 without a context), the top-1 `accuracy`, and the `accuracy_bound` that the decoder's
    own distribution implies, the mean of its largest probability: C.2's `E[max_x p(m_i = x | ...)]`, the best
    possible accuracy if that distribution is the true one. The gaps of `GAPS` are reported too. The
    coordinates are `context` (absent for gaps) and `visible`, the visible share.
    """

    def __init__(
        self, visible_fractions: Sequence[float] = (0.25, 0.5, 0.75), contexts: Sequence[Context] = CONTEXTS
    ) -> None:
        self.visible_fractions = tuple(visible_fractions)
        self.contexts = tuple(contexts)
        self.means = RunningMeans()

    @torch.no_grad()
    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Compare the contexts on token ids `[B, K]` and the teacher's codes `[B, N]`."""
        draws = torch.rand(codes.shape, generator=generator, device=codes.device)
        masks = {fraction: _mask_fraction(draws, 1 - fraction) for fraction in self.visible_fractions}
        for context, fraction, logits in self._predictions(tokenizer, ids, codes, masks):
            masked, place = masks[fraction], {"context": context, "visible": fraction}
            asked, truth = logits[masked].float(), codes[masked]
            self.means.update("cross_entropy", F.cross_entropy(asked, truth, reduction="none"), **place)
            self.means.update("accuracy", (asked.argmax(-1) == truth).float(), **place)
            self.means.update("accuracy_bound", asked.softmax(-1).amax(-1), **place)

    def merge(self, other: Self) -> None:
        """Merge the sums of `other`, a statistic with the same fractions."""
        self.means.merge(other.means)

    def compute(self) -> list[Number]:
        """Return the means, and the gaps between contexts that were both measured."""
        found = self.means.compute()
        entropies = {
            (number.coordinates["context"], number.coordinates["visible"]): number.value
            for number in found
            if number.metric == "cross_entropy"
        }
        gaps = [
            Number(name, {"visible": fraction}, entropies[first, fraction] - entropies[second, fraction])
            for fraction in self.visible_fractions
            for name, (first, second) in GAPS.items()
            if {(first, fraction), (second, fraction)} <= entropies.keys()
        ]
        return found + gaps

    def _predictions(
        self, tokenizer: SFTok, ids: Tensor, codes: Tensor, masks: dict[float, Tensor]
    ) -> list[tuple[Context, float, Tensor]]:
        """Context, visible fraction and the resulting logits `[B, N, V]`."""
        decoder, quantized = tokenizer.decoder, tokenizer.quantizer.lookup(ids)
        single = decoder.first_pass(quantized)
        own = single.float().argmax(-1)
        shown = {"true": codes, "own": own}
        found = []
        # Two contexts do not depend on the mask, so one pass serves every fraction.
        everywhere = {"single": single}
        if "second_pass" in self.contexts:
            everywhere["second_pass"] = decoder(own, quantized)
        for fraction, masked in masks.items():
            for context in self.contexts:
                logits = everywhere.get(context)
                if logits is None:
                    logits = decoder(torch.where(masked, decoder.mask_id, shown[context]), quantized)
                found.append((context, fraction, logits))
        return found


def _mask_fraction(draws: Tensor, fraction: float) -> Tensor:
    """The `fraction` of positions with the smallest draws, at least one and never all."""
    length = draws.shape[1]
    count = min(max(1, round(fraction * length)), length - 1)
    return draws.argsort(1).argsort(1) < count
