"""What each step of a decoding predicts, against the teacher's codes and the final prediction (Figure 4a).

At step i the decoder's distribution `p_i` over codes stands at every position. Two questions of 3.2: how far
is it from the ground truth `m_g`, and how far from what the decoding ends with, `p_T`?
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sftok.analysis.running import RunningMeans
from sftok.decoding.schedule import DecodingConfig
from sftok.models.tokenizer import SFTok


class StepStatistics:
    """Per step: KL divergence and top-1 agreement with the truth and with the final prediction.

    `kl_to_truth` is `KL(m_g || p_i)`, the cross-entropy on the teacher's code, since the truth is one code;
    `kl_to_final` is `KL(p_T || p_i)`. Both are in nats, means over all positions; `masked_...` are means over
    the positions that were still masked when the step began, the ones that it predicts.
    """

    def __init__(self, decoding: DecodingConfig):
        self.decoding = decoding
        self.means = [RunningMeans() for _ in range(decoding.steps)]

    @torch.no_grad()
    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Decode token ids `[B, K]` and compare every step with the teacher's codes `[B, N]`."""
        seen: list[tuple[Tensor, Tensor]] = []

        def on_step(step: int, before: Tensor, logits: Tensor, after: Tensor) -> None:
            seen.append((before == tokenizer.decoder.mask_id, logits.float().log_softmax(-1)))

        final = tokenizer.decode_codes(ids, self.decoding, generator, on_step)
        last = seen[-1][1]
        for means, (masked, log_probabilities) in zip(self.means, seen, strict=True):
            found = _compare(log_probabilities, last, codes, final.ids)
            for name, values in found.items():
                means.update(name, values)
                if masked.any():
                    means.update(f"masked_{name}", values[masked])

    def merge(self, other: Self) -> None:
        """Add what `other`, of the same decoding, has seen."""
        for means, more in zip(self.means, other.means, strict=True):
            means.merge(more)

    def compute(self) -> list[dict[str, float]]:
        """The means of each step, from the first."""
        return [means.compute() for means in self.means]


def _compare(log_probabilities: Tensor, last: Tensor, codes: Tensor, final: Tensor) -> dict[str, Tensor]:
    best = log_probabilities.argmax(-1)
    truth = F.nll_loss(log_probabilities.transpose(1, 2), codes, reduction="none")
    divergence = (last.exp() * (last - log_probabilities)).sum(-1)
    return {
        "kl_to_truth": truth,
        "kl_to_final": divergence,
        "accuracy": (best == codes).float(),
        "agreement_with_final": (best == final).float(),
    }
