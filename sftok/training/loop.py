"""The one training loop: batches in, averaged weights out; it can stop and go on at any step.

The state after step `i` is a function of the seed and the configuration alone: batches, masks and learning
rates are functions of the step, so a killed run that resumes ends with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import nn

from sftok.config import Config, ConfigError, choices_hint
from sftok.data.batches import Batch
from sftok.training.checkpoint import TrainingState
from sftok.training.ema import WeightAverage
from sftok.training.interruption import TrainingInterrupted
from sftok.training.optimisation import OptimisationConfig, adamw, learning_rate
from sftok.training.precision import Precision, autocast, keep_freed_memory
from sftok.training.randomness import generator
from sftok.training.stages.base import Stage, Step


class TrainingConfig(Config):
    """How a stage is trained, but for its length."""

    batch_size: int = Field(default=32, ge=1)
    """Images of a batch; an update sees `gradient_accumulation` batches."""
    gradient_accumulation: int = Field(default=1, ge=1)
    optimisation: OptimisationConfig = OptimisationConfig()
    players: Mapping[str, OptimisationConfig] = {}
    """The optimisation of players that is not `optimisation`, by name."""
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


class TrainingDiverged(RuntimeError):
    """A loss or gradient is not finite; the message names the step."""


BatchSource = Callable[[int], Iterator[Batch]]
"""Batches from one on: `source(first)`, counted from 0; update `i` takes `gradient_accumulation` of them."""


@dataclass(frozen=True)
class _Player:
    """One optimiser of a stage, and when its updates begin."""

    name: str
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    optimisation: OptimisationConfig
    start: int
    prefix: str
    """Of the names of its losses; the first player has none."""

    def rate(self, update: int, total: int) -> float:
        return learning_rate(update - self.start, total - self.start, self.optimisation)


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
    players = _players(stage, config)
    optimisers = {player.name: player.optimiser for player in players}
    state = TrainingState(stage, optimisers, WeightAverage(stage.trained, config.ema_decay))
    if state.restore(folder):
        monitor.resumed(state.step)
    started = time.monotonic() - state.seconds
    stream = batches(state.step * config.gradient_accumulation)
    while state.step < steps:
        parts = _parts(state.step, stream, seed, config.gradient_accumulation)
        shown: dict[str, torch.Tensor] = {}
        for player in players:
            if state.step >= player.start:
                shown |= _update(stage, player, player.rate(state.step, steps), parts, config.precision)
        state.average.update(stage.trained, state.step)
        state.step += 1
        state.seconds = time.monotonic() - started
        if state.step % config.log_every == 0 or state.step == steps:
            monitor.record(_readable(shown, state.step, players[0].rate(state.step - 1, steps)))
        monitor.progress(state.step, steps)
        stopping = monitor.should_stop()
        if state.step == steps or state.step % config.checkpoint_every == 0 or stopping:
            state.save(folder)
        if stopping and state.step < steps:
            raise TrainingInterrupted(f"stopped after {state.step} of {steps} steps; it resumes from there")
    stage.trained.load_state_dict(state.average.tensors)
    stage.eval()
    return state.seconds


def _players(stage: Stage, config: TrainingConfig) -> list[_Player]:
    named = {name: list(parameters) for name, parameters in stage.players().items()}
    for name in config.players:
        if name not in named:
            raise ConfigError(f"training.players: unknown player {name!r}; {choices_hint(name, named)}")
    players: list[_Player] = []
    for name, parameters in named.items():
        optimisation = config.players.get(name, config.optimisation)
        players.append(
            _Player(
                name=name,
                parameters=[parameter for _, parameter in parameters],
                optimiser=adamw(parameters, optimisation),
                optimisation=optimisation,
                start=stage.first_update(name),
                prefix=f"{name}_" if players else "",
            )
        )
    return players


def _parts(update: int, stream: Iterator[Batch], seed: int, accumulation: int) -> list[Step]:
    """The batches of one update, each with draws of its own."""
    first = update * accumulation
    return [
        Step(update, next(stream), generator(seed, "step", batch))
        for batch in range(first, first + accumulation)
    ]


def _update(
    stage: Stage, player: _Player, rate: float, parts: list[Step], precision: Precision
) -> dict[str, torch.Tensor]:
    """One update by the mean gradient of `parts`; the mean losses, under the player's names."""
    for group in player.optimiser.param_groups:
        group["lr"] = rate
    player.optimiser.zero_grad(set_to_none=True)
    shown: dict[str, torch.Tensor] = {}
    for part in parts:
        with autocast(precision, part.batch.images.device):
            losses = stage.losses(player.name, part)
        (losses["loss"] / len(parts)).backward()
        for name, value in losses.items():
            share = value.detach() / len(parts)
            shown[name] = shown[name] + share if name in shown else share
    norm = nn.utils.clip_grad_norm_(player.parameters, player.optimisation.max_grad_norm, foreach=True)
    if not torch.isfinite(norm):
        step = parts[0].index + 1
        raise TrainingDiverged(
            f"the {player.name}'s gradient is not finite at step {step}; lower the learning rate"
        )
    player.optimiser.step()
    return {f"{player.prefix}{name}": value for name, value in (shown | {"grad_norm": norm}).items()}


def _readable(losses: dict[str, torch.Tensor], step: int, rate: float) -> dict[str, Any]:
    return {"step": step, "learning_rate": rate} | {name: float(value) for name, value in losses.items()}
