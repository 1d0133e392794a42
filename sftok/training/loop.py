"""The one training loop: batches in, averaged weights out; it can stop and go on at any step.

The state after step `i` is a function of the seed and the configuration alone: batches, masks and learning
rates are functions of the step, so a killed run that resumes ends with the same bits.

Several processes train as one does alone (`sftok.distributed`): each on its share of every batch, with the
mean of their gradients. The first one writes checkpoints and speaks to the monitor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sftok.config import Config, ConfigError, choices_hint
from sftok.data.batches import Batch
from sftok.device import CPU
from sftok.distributed import SINGLE, World
from sftok.randomness import generator
from sftok.training.checkpoint import TrainingState
from sftok.training.ema import WeightAverage
from sftok.training.interruption import TrainingInterrupted
from sftok.training.optimisation import OptimisationConfig, adamw, learning_rate
from sftok.training.precision import SMALLEST_SCALE, Precision, autocast, keep_freed_memory, scaler
from sftok.training.stages.base import Stage, Step


class TrainingConfig(Config):
    """How a stage is trained, but for its length."""

    batch_size: int = Field(default=256, ge=1)
    """Images of a batch, shared evenly by the processes; an update sees `gradient_accumulation` batches.

    Table 6 counts per GPU: 32 on each of 8 (paper 4.1).
    """
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
        """The run begins after `step`, of a checkpoint or 0: later lines, of a killed attempt, come again."""

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
    scaler: torch.amp.GradScaler

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
    device: torch.device = CPU,
    world: World = SINGLE,
) -> float:
    """Train `stage` for `steps` updates in all, and load the averaged weights into `stage.trained`.

    A checkpoint in `folder` is gone on from. The stage is moved to `device` and stays there. Of several
    processes each calls this with its share of the batches, and with one folder that all can read.

    Returns:
        The seconds spent, interruptions included.

    Raises:
        ConfigError: the stage does not have a player of the configuration, or cannot be trained in parallel.
        TrainingInterrupted: the monitor asked to stop.
        TrainingDiverged: a loss is not finite.
        DamagedFileError: the checkpoint cannot be used.
    """
    keep_freed_memory()
    _refuse_batch_norm(stage, world)
    stage.to(device).train()
    players = _players(stage, config, device)
    state = _state(stage, players, config)
    _resume(state, folder, world)
    if world.is_first:
        monitor.resumed(state.step)
    started = time.monotonic() - state.seconds
    stream = batches(state.step * config.gradient_accumulation)
    while state.step < steps:
        parts = _parts(state.step, stream, seed, config.gradient_accumulation, device, world)
        shown: dict[str, torch.Tensor] = {}
        for player in players:
            if state.step >= player.start:
                rate = player.rate(state.step, steps)
                shown |= _update(stage, player, rate, parts, config.precision)
        state.average.update(stage.trained, state.step)
        state.step += 1
        state.seconds = time.monotonic() - started
        if state.step % config.log_every == 0 or state.step == steps:
            line = _readable(shown, state.step, players[0].rate(state.step - 1, steps), world)
            if world.is_first:
                monitor.record(line)
        if world.is_first:
            monitor.progress(state.step, steps)
        stopping = world.any(monitor.should_stop())
        if state.step == steps or state.step % config.checkpoint_every == 0 or stopping:
            _save(state, folder, world)
        if stopping and state.step < steps:
            raise TrainingInterrupted(f"stopped after {state.step} of {steps} steps; it resumes from there")
    stage.trained.load_state_dict(state.average.tensors)
    stage.eval()
    return state.seconds


def _players(stage: Stage, config: TrainingConfig, device: torch.device) -> list[_Player]:
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
                scaler=scaler(config.precision, device),
            )
        )
    return players


def _refuse_batch_norm(stage: Stage, world: World) -> None:
    if world.size > 1 and any(isinstance(module, _BatchNorm) for module in stage.modules()):
        raise ConfigError(
            f"{type(stage).__name__} has batch norms, whose statistics are one process's; train it with one"
        )


def _state(stage: Stage, players: list[_Player], config: TrainingConfig) -> TrainingState:
    return TrainingState(
        stage,
        {player.name: player.optimiser for player in players},
        WeightAverage(stage.trained, config.ema_decay),
        {player.name: player.scaler for player in players},
    )


def _resume(state: TrainingState, folder: Path, world: World) -> None:
    """Go on from the checkpoint in `folder`, if there is one."""
    state.restore(folder)
    steps = world.gather(torch.tensor([state.step])).tolist()
    if len(set(steps)) > 1:
        raise RuntimeError(f"the processes would go on from steps {steps}: {folder} is not the same for all")


def _save(state: TrainingState, folder: Path, world: World) -> None:
    if world.is_first:
        state.save(folder)
    world.any(False)  # a process that ended before the file is whole could take the first one with it


def _parts(
    update: int,
    stream: Iterator[Batch],
    seed: int,
    accumulation: int,
    device: torch.device,
    world: World,
) -> list[Step]:
    """The batches of one update, each with draws of its own."""
    first = update * accumulation
    return [
        Step(update, next(stream).to(device), generator(seed, "step", batch), world=world)
        for batch in range(first, first + accumulation)
    ]


def _update(
    stage: Stage, player: _Player, rate: float, parts: list[Step], precision: Precision
) -> dict[str, torch.Tensor]:
    """One update by the mean gradient of `parts`, over all processes; the mean losses of this one's share.

    Raises:
        TrainingDiverged: the gradient is not finite, whatever the scale.
    """
    for group in player.optimiser.param_groups:
        group["lr"] = rate
    player.optimiser.zero_grad(set_to_none=True)
    shown: dict[str, torch.Tensor] = {}
    for part in parts:
        with autocast(precision, part.batch.images.device):
            losses = stage.losses(player.name, part)
        player.scaler.scale(losses["loss"] / len(parts)).backward()
        for name, value in losses.items():
            share = value.detach() / len(parts)
            shown[name] = shown[name] + share if name in shown else share
    parts[0].world.average(parameter.grad for parameter in player.parameters if parameter.grad is not None)
    player.scaler.unscale_(player.optimiser)
    norm = nn.utils.clip_grad_norm_(player.parameters, player.optimisation.max_grad_norm, foreach=True)
    # A scaler skips the update of a gradient that overflowed, and tries a smaller scale at the next.
    if not torch.isfinite(norm) and player.scaler.get_scale() <= SMALLEST_SCALE:
        step = parts[0].index + 1
        raise TrainingDiverged(
            f"the {player.name}'s gradient is not finite at step {step}; lower the learning rate"
        )
    player.scaler.step(player.optimiser)
    player.scaler.update()
    shown["grad_norm"] = norm
    if player.scaler.is_enabled():
        shown["loss_scale"] = torch.tensor(player.scaler.get_scale())
    return {f"{player.prefix}{name}": value for name, value in shown.items()}


def _readable(losses: dict[str, torch.Tensor], step: int, rate: float, world: World) -> dict[str, Any]:
    """A line of the curve, without what is not finite in a skipped update: JSON has no word for it."""
    values = {name: float(world.mean(value)) for name, value in losses.items()}
    return {"step": step, "learning_rate": rate} | {
        name: value for name, value in values.items() if math.isfinite(value)
    }
