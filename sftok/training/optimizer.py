"""AdamW, its parameter groups, and the learning rate as a pure function of the step (paper: Table 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import nn

from sftok.config import Config


class OptimizerConfig(Config):
    """AdamW with linear warm-up and cosine decay; the defaults are those of stages 1 and 2 in Table 6."""

    model_config = ConfigDict(allow_inf_nan=False)

    learning_rate: float = Field(default=1e-4, gt=0)
    end_learning_rate: float = Field(default=1e-5, ge=0)
    warmup_steps: int = Field(default=10_000, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _decays(self) -> Self:
        if self.end_learning_rate > self.learning_rate:
            raise ValueError(
                f"end_learning_rate {self.end_learning_rate} is above learning_rate {self.learning_rate}"
            )
        return self


def learning_rate(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """Return the learning rate of update `step` (from 0): linear warm-up, then cosine decay to the end rate.

    Warm-up takes at most half of the run, so that even a short run reaches the peak.
    """
    warmup = min(config.warmup_steps, total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return config.end_learning_rate + (config.learning_rate - config.end_learning_rate) * cosine


UNDECAYED = ("norm", "embed", "position", "queries", "class_token", "codebook")
"""Weights whose names contain one of these have no weight decay, as in the release: norms, embeddings, and
the projections of patches and tokens, whose names contain "embed"."""


def adamw(named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig) -> torch.optim.AdamW:
    """Build AdamW for `named_parameters`; biases, norms and embeddings have no decay, as in the release."""
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for name, parameter in named_parameters:
        plain = parameter.ndim < 2 or any(part in name for part in UNDECAYED)
        (exempt if plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )
