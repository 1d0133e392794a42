"""What a context is worth: the terms of Appendix C, for a context of truth and one of the model's own codes.

Appendix C compares the entropy of a code given the tokens alone, `H(m_i | Z_q)` of equation 2, with that
given a context of other codes, `H(m_i | Z_q, m_context)` of equation 3; their difference is the mutual
information of equation 4. A decoder's cross-entropy is an upper bound of each (C.1: it is the entropy plus a
divergence). The paper sums over the codes of an image; here everything is a mean over codes. The contexts,
all measured on the same masked positions:

- *single*: none, everything is masked;
- *true*: visible positions show the teacher's codes, as in vanilla training; a real source of information;
- *own*: they show the decoder's own first-step prediction, as in decoding. That prediction is a function of
  `Z_q` (and of noise), so it tells nothing about the true codes beyond `Z_q`, and equation 4's mutual
  information is zero: what is gained from it is computation, not information;
- *second pass*: every position shows the first-step prediction, and none is masked. It is the control of
  computation alone: it too has had two passes, and no order in which codes become known.

The difference own - true is the exposure gap that the paper's argument rests on (Section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sftok.analysis.running import RunningMeans
from sftok.models.tokenizer import SFTok

CONTEXTS = ("single", "true", "own", "second_pass")
"""What the visible positions show, in the order of reports."""

GAPS = {
    "information_gain": ("single", "true"),
    "computation_gain": ("single", "own"),
    "second_pass_gain": ("single", "second_pass"),
    "exposure_gap": ("own", "true"),
}
"""Differences of two contexts' cross-entropies, by name: the first minus the second."""


class ContextGaps:
    """What a decoder makes of each context at masked positions, by visible fraction.

    Three quantities of every context: its cross-entropy in nats (`ce_true`, an upper bound of equations 2 and
    3), its top-1 accuracy (`accuracy_true`), and the accuracy that its own distribution promises, the mean of
    its largest probability (`bound_true`): C.2's `E[max_x p(m_i = x | ...)]`, the best accuracy there is if
    the model's distribution is the true one. Beside them the gaps of `GAPS`.
    """

    def __init__(
        self,
        visible_fractions: Sequence[float] = (0.25, 0.5, 0.75),
        contexts: Sequence[str] = CONTEXTS,
    ):
        """Measure `contexts` alone: a decoder that never learned to read a visible code has only `single`.

        Raises:
            ValueError: a fraction leaves nothing to measure, or a context is unknown.
        """
        if not all(0 < fraction < 1 for fraction in visible_fractions):
            raise ValueError(f"visible_fractions {tuple(visible_fractions)}: each lies between 0 and 1")
        if unknown := set(contexts) - set(CONTEXTS):
            raise ValueError(f"contexts {sorted(unknown)} are not among {', '.join(CONTEXTS)}")
        self.contexts = tuple(contexts)
        self.means = {fraction: RunningMeans() for fraction in visible_fractions}

    @torch.no_grad()
    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Compare the contexts on token ids `[B, K]` and the teacher's codes `[B, N]`."""
        draws = torch.rand(codes.shape, generator=generator, device=codes.device)
        masks = {fraction: _mask_fraction(draws, 1 - fraction) for fraction in self.means}
        for context, fraction, logits in self._predictions(tokenizer, ids, codes, masks):
            masked, means = masks[fraction], self.means[fraction]
            asked, truth = logits[masked].float(), codes[masked]
            means.update(f"ce_{context}", F.cross_entropy(asked, truth, reduction="none"))
            means.update(f"accuracy_{context}", (asked.argmax(-1) == truth).float())
            means.update(f"bound_{context}", asked.softmax(-1).amax(-1))

    def merge(self, other: Self) -> None:
        """Add what `other`, of the same fractions, has seen."""
        for fraction, means in self.means.items():
            means.merge(other.means[fraction])

    def compute(self) -> dict[float, dict[str, float]]:
        """The means and the derived gaps, by visible fraction."""
        found = {}
        for fraction, means in self.means.items():
            values = means.compute()
            gaps = {
                name: values[f"ce_{first}"] - values[f"ce_{second}"]
                for name, (first, second) in GAPS.items()
                if {first, second} <= set(self.contexts)
            }
            found[fraction] = values | gaps
        return found

    def _predictions(
        self, tokenizer: SFTok, ids: Tensor, codes: Tensor, masks: dict[float, Tensor]
    ) -> list[tuple[str, float, Tensor]]:
        """Context, visible fraction and the logits `[B, N, V]` that they give."""
        decoder, quantized = tokenizer.decoder, tokenizer.quantizer.lookup(ids)
        single = decoder.first_pass(quantized)
        own = single.float().argmax(-1)
        shown = {"true": codes, "own": own}
        found = []
        # Two of them do not depend on what is masked: one pass serves every fraction.
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
