"""The predictions of each decoding step, against the teacher's codes and the final prediction (Figure 4a).

At step i the decoder has a distribution `p_i` over codes at every position. Section 3.2 asks how far it is
from the ground truth `m_g`, and how far from `p_T`, the distribution of the last step.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from sftok.analysis.base import ACCURACY, AnalysisConfig
from sftok.analysis.running import Number, RunningMeans
from sftok.decoding.schedule import DecodingConfig, MaskSchedule
from sftok.evaluation.config import EvaluationConfig
from sftok.metrics.quantity import Quantity
from sftok.tokenizers.sftok import SFTok


class StepsConfig(AnalysisConfig, name="steps"):
    """Settings for Figure 4a; the paper gives only T = 8 (Section 3.2)."""

    quantities = (
        Quantity(
            name="kl_to_truth",
            label="KL from the truth",
            direction=-1,
            unit="nats",
            meaning="cross-entropy of the true code",
        ),
        Quantity(
            name="kl_to_final",
            label="KL from the final prediction",
            direction=-1,
            unit="nats",
            meaning="KL(p_T || p_i)",
        ),
        ACCURACY,
        Quantity(
            name="agreement_with_final",
            label="Top-1 agreement with the final prediction",
            direction=1,
            meaning="share of codes whose likeliest prediction is the final one",
        ),
    )

    steps: int = Field(default=8, ge=2)
    """Number of decoding steps, T; every step is measured."""
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    schedule: MaskSchedule = "arccos"

    def build(self) -> StepStatistics:
        """Build an empty statistic."""
        decoding = DecodingConfig(steps=self.steps, temperature=self.temperature, schedule=self.schedule)
        return StepStatistics(decoding)

    def fitted(self, evaluation: EvaluationConfig, *, single_step: bool) -> Self:
        """Decode as the evaluation does."""
        changes = {"temperature": evaluation.temperature, "schedule": evaluation.schedule}
        return self.model_copy(update=changes)


class StepStatistics:
    """Per step: KL divergence and top-1 agreement with the truth and with the final prediction.

    `kl_to_truth` is `KL(m_g || p_i)`, the cross-entropy of the teacher's code, since the truth is one code;
    `kl_to_final` is `KL(p_T || p_i)`. Means are taken over all positions (coordinate `positions` is `all`),
    and over those still masked when the step began, which the step predicts (`masked`). `step` counts from 1.
    """

    def __init__(self, decoding: DecodingConfig) -> None:
        self.decoding = decoding
        self.means = RunningMeans()

    @torch.no_grad()
    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Decode token ids `[B, K]` and compare every step with the teacher's codes `[B, N]`."""
        seen: list[tuple[Tensor, Tensor]] = []

        def on_step(step: int, before: Tensor, logits: Tensor, after: Tensor) -> None:
            seen.append((before == tokenizer.decoder.mask_id, logits.float().log_softmax(-1)))

        final = tokenizer.decode_codes(ids, self.decoding, generator, on_step)
        last = seen[-1][1]
        of_decoding = {"steps": self.decoding.steps, "temperature": self.decoding.temperature}
        for step, (masked, log_probabilities) in enumerate(seen, 1):
            place = of_decoding | {"step": step}
            for metric, values in _compare(log_probabilities, last, codes, final.ids).items():
                self.means.update(metric, values, **place, positions="all")
                if masked.any():
                    self.means.update(metric, values[masked], **place, positions="masked")

    def merge(self, other: Self) -> None:
        """Merge the sums of `other`, a statistic with the same decoding."""
        self.means.merge(other.means)

    def compute(self) -> list[Number]:
        """Return the means of each step, from the first."""
        return self.means.compute()


def _compare(log_probabilities: Tensor, last: Tensor, codes: Tensor, final: Tensor) -> dict[str, Tensor]:
    best = log_probabilities.argmax(-1)
    # Not `nll_loss`, which has no deterministic GPU kernel for inputs with positions.
    truth = -log_probabilities.gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    divergence = (last.exp() * (last - log_probabilities)).sum(-1)
    return {
        "kl_to_truth": truth,
        "kl_to_final": divergence,
        "accuracy": (best == codes).float(),
        "agreement_with_final": (best == final).float(),
    }
