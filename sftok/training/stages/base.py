"""What a training loop needs to know of a stage, and no more.

The loop knows no stage and a stage knows no loop: the loop asks each of a stage's players (one optimiser
each) for its losses and updates its parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.distributed import SINGLE, World
from sftok.frozen import Frozen

__all__ = ["Frozen", "Losses", "Stage", "Step"]


@dataclass(frozen=True)
class Step:
    """One update as a stage sees it; with gradient accumulation, one of the batches of an update."""

    index: int
    """Updates done before this one."""
    batch: Batch
    """Of several processes each sees its share of the images."""
    generator: torch.Generator
    """The source of every random draw of this step, on the CPU, so that a GPU sees the same ones.

    It is the same in all processes: each draws for the whole batch and takes its share.
    """
    shared: dict[str, torch.Tensor] = field(default_factory=dict)
    """What earlier players leave to later ones, so that nothing is computed twice."""
    world: World = SINGLE
    """Who has the rest of the batch."""


Losses = dict[str, torch.Tensor]
"""Scalars by name; `loss` is the one that is differentiated, the others are shown."""


class Stage(nn.Module, ABC):
    """A training objective over the modules in `trained`.

    Everything registered as a sub-module is trained and checkpointed; frozen models are kept out of the
    module tree (see `Frozen`).
    """

    trained: nn.Module
    """The modules that the stage is there to train: averaged (EMA) and exported at its end."""

    def players(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """The parameters of each optimiser by player, in the order of the updates within a step."""
        return {"model": self.trained.named_parameters()}

    def first_update(self, player: str) -> int:
        """The update (from 0) with which `player` joins; the schedule of its learning rate starts there."""
        return 0

    @abstractmethod
    def losses(self, player: str, step: Step) -> Losses:
        """The losses of one player's update.

        Of several processes each gives its own share's; what counts is their mean, and that of their
        gradients. What is no mean over images asks `step.world`.
        """
