"""A context of your own: in stage 2, visible positions show sampled predictions, not the most likely ones.

    python -m experiments run own_context.py

The SFVR row is the one of Table 4 and shares its artifacts: if you have run Table 4, only the new row is
trained.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from experiments.specs import Claim, Experiment, Row
from sftok.training.contexts.base import Context, ContextConfig
from sftok.training.stages.base import Step


class SampledContextConfig(ContextConfig):
    """Codes drawn from the distribution of the fully masked pass."""

    temperature: float = 1.0

    def build(self) -> Context:
        """A context is any callable with these arguments."""
        return self.sample

    def sample(self, codes: Tensor, first_logits: Callable[[], Tensor], step: Step) -> Tensor:
        """Return codes `[B, N]` to show instead of `codes`, drawn from `step` so that runs can be resumed."""
        probabilities = (first_logits() / self.temperature).softmax(-1)  # [B, N, V]
        thresholds = step.uniform(codes.shape).to(codes.device).unsqueeze(-1)
        return (probabilities.cumsum(-1) < thresholds).sum(-1).clamp_max(probabilities.shape[-1] - 1)


EXPERIMENT = Experiment(
    name="own-context",
    kind="ablation",
    title="Sampled and most likely predictions as context",
    source="examples/own_context.py",
    description="In decoding, the context is sampled. Does it help to sample it in training, too?",
    rows=(
        Row(name="ratio-1.0", as_in="table4"),
        Row(
            name="sampled",
            label="SFTok-B, sampled predictions",
            overrides={"stage2.context": {"name": "own_context:SampledContextConfig"}},
        ),
    ),
    claims=(
        Claim(
            name="sampled-is-better",
            text="Sampled predictions train a better decoder than the most likely ones",
            source="our own guess",
            order="sampled@8 < ratio-1.0@8",
        ),
    ),
)
