"""The one training loop: batches in, averaged weights out; it can stop and go on at any step.

The state after step `i` is a function of the seed and the configuration alone: batches, masks and learning
rate are functions of the step, so a killed run that resumes ends with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import nn

from sftok.config import Config
from sftok.data.batches import Batch
from sftok.training.checkpoint import TrainingState
from sftok.training.ema import WeightAverage
from sftok.training.optimisation import OptimisationConfig, adamw, learning_rate
from sftok.training.precision import Precision, autocast, keep_freed_memory
from sftok.training.randomness import generator
from sftok.training.stages.base import Stage, Step


class TrainingConfig(Config):
    """How a stage is trained, but for its length."""

    batch_size: int = Field(default=32, ge=1)
    optimisation: OptimisationConfig = OptimisationConfig()
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Precision = "fp32"
    checkpoint_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=10, ge=1)


class Monitor(Protocol):
    """What a caller may watch and decide; the loop knows no tracker and no store."""

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` updates are behind us."""

    def record(self, values: dict[str, Any]) -> None:
        """One line of the training curve; `values["step"]` counts from 1."""

    def resumed(self, step: int) -> None:
        """The run goes on from a checkpoint: lines after `step` will come again."""

    def should_stop(self) -> bool:
        """True asks the loop to checkpoint and to raise `TrainingInterrupted`."""
        ...


class TrainingInterrupted(RuntimeError):
    """The monitor asked to stop; a checkpoint was written."""


class TrainingDiverged(RuntimeError):
    """A loss or gradient is not finite; the message names the step."""


BatchSource = Callable[[int], Iterator[Batch]]
"""Batches from a step on: `source(start_step)`."""


def train(
    stage: Stage,
    batches: BatchSource,
    steps: int,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    monitor: Monitor,
) -> float:
    """Train `stage` for `steps` updates in all, and load the averaged weights into `stage.trained`.

    A checkpoint in `folder` is gone on from. Returns the seconds spent, interruptions included.

    Raises:
        TrainingInterrupted: the monitor asked to stop.
        TrainingDiverged: a loss is not finite.
        DamagedFileError: the checkpoint cannot be used.
    """
    keep_freed_memory()
    stage.train()
    players = {player: list(named) for player, named in stage.players().items()}
    optimisers = {player: adamw(named, config.optimisation) for player, named in players.items()}
    state = TrainingState(stage, optimisers, WeightAverage(stage.trained, config.ema_decay))
    if state.restore(folder):
        monitor.resumed(state.step)
    started = time.monotonic() - state.seconds
    stream = batches(state.step)
    while state.step < steps:
        step = Step(state.step, next(stream), generator(seed, "step", state.step))
        rate = learning_rate(step.index, steps, config.optimisation)
        shown = {}
        for player, named in players.items():
            shown |= _update(stage, player, named, optimisers[player], rate, step, config)
        state.average.update(stage.trained, step.index)
        state.step += 1
        state.seconds = time.monotonic() - started
        if state.step % config.log_every == 0 or state.step == steps:
            monitor.record(_readable(shown, state.step, rate))
        monitor.progress(state.step, steps)
        stopping = monitor.should_stop()
        if state.step == steps or state.step % config.checkpoint_every == 0 or stopping:
            state.save(folder)
        if stopping and state.step < steps:
            raise TrainingInterrupted(f"stopped after {state.step} of {steps} steps; it resumes from there")
    stage.trained.load_state_dict(state.average.tensors)
    stage.eval()
    return state.seconds


def _update(
    stage: Stage,
    player: str,
    named: list[tuple[str, nn.Parameter]],
    optimiser: torch.optim.Optimizer,
    rate: float,
    step: Step,
    config: TrainingConfig,
) -> dict[str, torch.Tensor]:
    for group in optimiser.param_groups:
        group["lr"] = rate
    with autocast(config.precision, step.batch.images.device):
        losses = stage.losses(player, step)
    optimiser.zero_grad(set_to_none=True)
    losses["loss"].backward()
    norm = nn.utils.clip_grad_norm_(
        [parameter for _, parameter in named], config.optimisation.max_grad_norm, foreach=True
    )
    if not torch.isfinite(norm):
        raise TrainingDiverged(
            f"the {player}'s gradient is not finite at step {step.index + 1}; lower the learning rate"
        )
    optimiser.step()
    return {name: value.detach() for name, value in losses.items()} | {"grad_norm": norm}


def _readable(losses: dict[str, torch.Tensor], step: int, rate: float) -> dict[str, Any]:
    return {"step": step, "learning_rate": rate} | {name: float(value) for name, value in losses.items()}
