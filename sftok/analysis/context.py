"""What a context is worth: the terms of Appendix C, for a context of truth and one of the model's own codes.

Appendix C compares the entropy of a code given the tokens alone, `H(m_i | Z_q)`, with that given a context
of other codes, `H(m_i | Z_q, m_context)`; their difference is a mutual information. A decoder's cross-entropy
is an upper bound of each. Two contexts are measured on the same masked positions:

- *true*: visible positions show the teacher's codes, as in vanilla training; a real source of information;
- *own*: they show the decoder's own first-step prediction, as in decoding. That prediction is a function of
  `Z_q` (and of noise), so it tells nothing about the true codes beyond `Z_q`: what is gained from it is
  computation, not information.

The difference own - true is the exposure gap that the paper's argument rests on. The control of computation
alone is a second pass that sees all of the first's predictions and no mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sftok.analysis.running import RunningMeans
from sftok.models.tokenizer import SFTok


class ContextGaps:
    """Cross-entropy (nats) and top-1 accuracy of masked positions, by context and visible fraction.

    The names of the results: `ce_single`, `ce_true`, `ce_own`, `ce_second_pass`, and `accuracy_...` alike;
    derived from them `information_gain` (single - true), `computation_gain` (single - own) and
    `exposure_gap` (own - true).
    """

    def __init__(self, visible_fractions: Sequence[float] = (0.25, 0.5, 0.75)):
        if not all(0 < fraction < 1 for fraction in visible_fractions):
            raise ValueError(f"visible_fractions {tuple(visible_fractions)}: each lies between 0 and 1")
        self.means = {fraction: RunningMeans() for fraction in visible_fractions}

    @torch.no_grad()
    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Compare the contexts on token ids `[B, K]` and the teacher's codes `[B, N]`."""
        decoder, quantized = tokenizer.decoder, tokenizer.quantizer.lookup(ids)
        hidden = torch.full_like(codes, decoder.mask_id)
        single = decoder(hidden, quantized)
        own = single.float().argmax(-1)
        second = decoder(own, quantized)
        draws = torch.rand(codes.shape, generator=generator, device=codes.device)
        for fraction, means in self.means.items():
            masked = _mask_fraction(draws, 1 - fraction)
            predictions = {
                "single": single,
                "true": decoder(torch.where(masked, hidden, codes), quantized),
                "own": decoder(torch.where(masked, hidden, own), quantized),
                "second_pass": second,
            }
            for context, logits in predictions.items():
                asked, truth = logits[masked].float(), codes[masked]
                means.update(f"ce_{context}", F.cross_entropy(asked, truth, reduction="none"))
                means.update(f"accuracy_{context}", (asked.argmax(-1) == truth).float())

    def compute(self) -> dict[float, dict[str, float]]:
        """The means and the derived gaps, by visible fraction."""
        found = {}
        for fraction, means in self.means.items():
            values = means.compute()
            found[fraction] = values | {
                "information_gain": values["ce_single"] - values["ce_true"],
                "computation_gain": values["ce_single"] - values["ce_own"],
                "exposure_gap": values["ce_own"] - values["ce_true"],
            }
        return found


def _mask_fraction(draws: Tensor, fraction: float) -> Tensor:
    """The `fraction` of positions with the smallest draws, at least one and never all."""
    length = draws.shape[1]
    count = min(max(1, round(fraction * length)), length - 1)
    return draws.argsort(1).argsort(1) < count
