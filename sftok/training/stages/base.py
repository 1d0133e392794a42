"""The interface between the training loop and a stage.

Loop and stage are independent: for each optimizer of a stage in turn, the loop asks the stage for losses and
updates the optimizer's parameters.
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
    """One update from the view of a stage; with gradient accumulation, one of the update's batches."""

    index: int
    """Number of updates completed before this one."""
    batch: Batch
    """This process's share of the images."""
    generator: torch.Generator
    """Source of every random draw of this step, on the CPU, so that every device sees the same draws.

    It is identical in all processes: each draws for the whole batch and takes its share.
    """
    shared: dict[str, torch.Tensor] = field(default_factory=dict)
    """The output of `Stage.ahead`, and values that one optimizer's losses pass to the next one's."""
    world: World = SINGLE
    """The processes that hold the rest of the batch."""

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        """Draw uniformly in [0, 1) with `shape`, whose first dimension counts this process's images."""
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
    """The modules that the stage trains: averaged (EMA), and exported at the end."""

    def optimizers(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """Return the named parameters of each optimizer, in the order of the updates within a step."""
        return {"model": self.trained.named_parameters()}

    def first_update(self, optimizer: str) -> int:
        """Return the update (from 0) at which `optimizer` and its learning rate schedule start."""
        return 0

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The networks that `torch.compile` may compile."""
        return ()

    def ahead(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        """Compute everything that the losses need of a batch and that does not depend on trained weights.

        The loop calls it during the previous update and passes the result in `Step.shared`; losses compute
        what they do not find there.
        """
        return {}

    @abstractmethod
    def losses(self, optimizer: str, step: Step) -> Losses:
        """Compute the losses that `optimizer` minimizes in this step.

        Each process computes the losses of its own share; they and their gradients are averaged over
        processes. Quantities that are not means over images must use `step.world`.
        """
