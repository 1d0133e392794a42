"""What the training loop needs to know about a stage, and nothing more.

The loop knows no stage and a stage knows no loop: for each optimizer of a stage in turn, the loop asks the
stage for losses and updates the optimizer's parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.distributed import SINGLE, World


@dataclass(frozen=True)
class Step:
    """One update as a stage sees it; with gradient accumulation, one of the update's batches."""

    index: int
    """Updates done before this one."""
    batch: Batch
    """This process's share of the images."""
    generator: torch.Generator
    """Source of every random draw of this step, on the CPU, so that every device sees the same ones.

    It is the same in all processes: each draws for the whole batch and takes its share.
    """
    shared: dict[str, torch.Tensor] = field(default_factory=dict)
    """What `Stage.ahead` found, and what the losses of one optimizer leave for those of the next."""
    world: World = SINGLE
    """The processes that hold the rest of the batch."""

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        """Uniform draws in [0, 1) of `shape`, whose first dimension counts this process's images."""
        images, *rest = shape
        return self.world.share(torch.rand(self.world.size * images, *rest, generator=self.generator))


Losses = dict[str, torch.Tensor]
"""Scalars by name; `loss` is differentiated, the others are logged."""


class Stage(nn.Module, ABC):
    """A training objective over the modules in `trained`.

    Every registered submodule is trained and checkpointed; frozen models stay outside the module tree
    (see `sftok.frozen.Frozen`).
    """

    trained: nn.Module
    """The modules that the stage exists to train: averaged (EMA), and exported at the end."""

    def optimizers(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """The named parameters of each optimizer, in the order of the updates within a step."""
        return {"model": self.trained.named_parameters()}

    def first_update(self, optimizer: str) -> int:
        """The update (from 0) at which `optimizer` starts, as does its learning rate schedule."""
        return 0

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The networks that `torch.compile` may take."""
        return ()

    def ahead(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        """What the losses need of a batch that depends on nothing that is trained, for `Step.shared`.

        The loop calls it during the update before; losses that do not find it compute it themselves.
        """
        return {}

    @abstractmethod
    def losses(self, optimizer: str, step: Step) -> Losses:
        """The losses that `optimizer` minimizes in this step.

        Each process computes those of its own share; their mean and the mean of their gradients count.
        Whatever is not a mean over images asks `step.world`.
        """
