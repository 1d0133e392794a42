"""The training loop: takes batches, returns averaged weights, and can stop and resume at any step.

The state after step `i` depends only on the seed and the configuration: batches, masks and learning rates are
functions of the step, so a run that is killed and resumed ends with the same bits.

Several processes produce the same training as one (`sftok.distributed`): each takes its share of every batch,
and gradients are averaged. The first process writes checkpoints and calls the monitor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

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
from sftok.training.compiling import CompileMode, compile_networks
from sftok.training.ema import WeightAverage
from sftok.training.feed import Feed
from sftok.training.interruption import TrainingInterrupted
from sftok.training.optimizer import OptimizerConfig, adamw, learning_rate
from sftok.training.precision import (
    SMALLEST_SCALE,
    Precision,
    autocast,
    keep_freed_memory,
    require_precision,
    scaler,
)
from sftok.training.stages.base import Stage, Step


class TrainingConfig(Config):
    """Training settings of a stage, except for its length."""

    not_in_key: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

    batch_size: int = Field(default=256, ge=1)
    """Images per batch, shared evenly by the processes; an update uses `gradient_accumulation` batches.

    Table 6 counts per GPU: 32 on each of 8 (paper 4.1).
    """
    gradient_accumulation: int = Field(default=1, ge=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    optimizers: Mapping[str, OptimizerConfig] = {}
    """Replaces `optimizer` for the optimizers named here, such as a stage's `discriminator`."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Precision = "fp32"
    checkpoint_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=10, ge=1)


class Monitor(Protocol):
    """Callbacks with which a caller observes and stops training; the loop knows no tracker and no store."""

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` updates are done."""

    def record(self, values: dict[str, Any]) -> None:
        """Record one line of the training curve; `values["step"]` counts from 1."""

    def resumed(self, step: int) -> None:
        """Report that training starts after `step` (0 without a checkpoint).

        Lines that a killed attempt recorded past it are recorded again.
        """

    def preparing(self, what: str) -> None:
        """Report that the next update takes much longer than the others, for the reason `what`."""

    def should_stop(self) -> bool:
        """Whether the loop should write a checkpoint and raise `TrainingInterrupted`."""
        ...


class TrainingDiverged(RuntimeError):
    """A loss or gradient is not finite; the message names the step."""


BatchSource = Callable[[int], Iterator[Batch]]
"""`source(first)` yields the batches from number `first` on; an update takes `gradient_accumulation`."""


@dataclass(frozen=True)
class _Optimizer:
    """One optimizer of a stage, and the update at which it starts."""

    name: str
    parameters: list[nn.Parameter]
    adamw: torch.optim.Optimizer
    config: OptimizerConfig
    start: int
    prefix: str
    """Prefix of its losses in the log; empty for the first optimizer."""
    scaler: torch.amp.GradScaler

    def rate(self, update: int, total: int) -> float:
        return learning_rate(update - self.start, total - self.start, self.config)


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
    compile: CompileMode = "none",
) -> float:
    """Train `stage` for `steps` updates in total, and load the averaged weights into `stage.trained`.

    Resumes from the checkpoint in `folder`, if any. The stage is moved to `device` and stays there. Each of
    several processes calls this with its share of the batches and with a folder that all of them can read.

    Returns:
        The seconds spent training, over all attempts.

    Raises:
        ConfigError: the configuration names an optimizer that the stage lacks, the stage cannot be trained in
            parallel, or the device does not support the number format or the compiler.
        TrainingInterrupted: the monitor asked to stop.
        TrainingDiverged: a loss is not finite.
        DamagedFileError: the checkpoint is damaged or belongs to another run.
    """
    keep_freed_memory()
    _refuse_batch_norm(stage, world)
    require_precision(config.precision, device)
    stage.to(device).train()
    optimizers = _optimizers(stage, config, device)
    state = _state(stage, optimizers, config)
    _resume(state, folder, world)
    if world.is_first:
        monitor.resumed(state.step)
    if compile_networks(stage, compile, device) and world.is_first:
        monitor.preparing("compiling")
    started = time.monotonic() - state.seconds
    stream = batches(state.step * config.gradient_accumulation)
    feed = Feed(stream, config.gradient_accumulation, stage, device)
    while state.step < steps:
        parts = _parts(state.step, feed, seed, world)
        shown: dict[str, torch.Tensor] = {}
        at_work = [optimizer for optimizer in optimizers if state.step >= optimizer.start]
        for optimizer in at_work:
            rate = optimizer.rate(state.step, steps)
            shown |= _update(stage, optimizer, rate, parts, config.precision)
        state.average.update(stage.trained, state.step)
        state.step += 1
        if state.step < steps:
            feed.look_ahead()
        for optimizer in at_work:
            _require_finite(optimizer, shown, state.step)
        state.seconds = time.monotonic() - started
        if state.step % config.log_every == 0 or state.step == steps:
            line = _readable(shown, state.step, optimizers[0].rate(state.step - 1, steps), world)
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


def _optimizers(stage: Stage, config: TrainingConfig, device: torch.device) -> list[_Optimizer]:
    named = {name: list(parameters) for name, parameters in stage.optimizers().items()}
    for name in config.optimizers:
        if name not in named:
            raise ConfigError(f"training.optimizers: unknown optimizer {name!r}; {choices_hint(name, named)}")
    optimizers: list[_Optimizer] = []
    for name, parameters in named.items():
        own = config.optimizers.get(name, config.optimizer)
        optimizers.append(
            _Optimizer(
                name=name,
                parameters=[parameter for _, parameter in parameters],
                adamw=adamw(parameters, own),
                config=own,
                start=stage.first_update(name),
                prefix=f"{name}_" if optimizers else "",
                scaler=scaler(config.precision, device),
            )
        )
    return optimizers


def _refuse_batch_norm(stage: Stage, world: World) -> None:
    if world.size > 1 and any(isinstance(module, _BatchNorm) for module in stage.modules()):
        raise ConfigError(
            f"{type(stage).__name__} has batch norms, whose statistics would differ between processes; "
            "train it in a single process"
        )


def _state(stage: Stage, optimizers: list[_Optimizer], config: TrainingConfig) -> TrainingState:
    return TrainingState(
        stage,
        {each.name: each.adamw for each in optimizers},
        WeightAverage(stage.trained, config.ema_decay),
        {each.name: each.scaler for each in optimizers},
    )


def _resume(state: TrainingState, folder: Path, world: World) -> None:
    """Restore the checkpoint in `folder`, if any."""
    state.restore(folder)
    steps = world.gather(torch.tensor([state.step])).tolist()
    if len(set(steps)) > 1:
        raise RuntimeError(
            f"the processes would resume from different steps {steps}: {folder} is not shared by all of them"
        )


def _save(state: TrainingState, folder: Path, world: World) -> None:
    if world.is_first:
        state.save(folder)
    world.any(False)  # a process that exits before the file is complete could stop the first one


def _parts(update: int, feed: Feed, seed: int, world: World) -> list[Step]:
    """The batches of one update, each with its own generator."""
    ready = feed.take()
    return [
        Step(update, batch, generator(seed, "step", number), shared=ahead, world=world)
        for number, (batch, ahead) in enumerate(ready, update * len(ready))
    ]


def _update(
    stage: Stage, optimizer: _Optimizer, rate: float, parts: list[Step], precision: Precision
) -> dict[str, torch.Tensor]:
    """Do one update by the mean gradient over `parts` and processes; returns this process's mean losses.

    Nothing here waits for a GPU, unless the loss is scaled.
    """
    for group in optimizer.adamw.param_groups:
        group["lr"] = rate
    optimizer.adamw.zero_grad(set_to_none=True)
    shown: dict[str, torch.Tensor] = {}
    for part in parts:
        with autocast(precision, part.batch.images.device):
            losses = stage.losses(optimizer.name, part)
        optimizer.scaler.scale(losses["loss"] / len(parts)).backward()
        for name, value in losses.items():
            share = value.detach() / len(parts)
            shown[name] = shown[name] + share if name in shown else share
    parts[0].world.average(parameter.grad for parameter in optimizer.parameters if parameter.grad is not None)
    optimizer.scaler.unscale_(optimizer.adamw)
    norm = nn.utils.clip_grad_norm_(optimizer.parameters, optimizer.config.max_grad_norm, foreach=True)
    # The scaler skips an update whose gradient overflowed, and lowers the scale for the next one.
    optimizer.scaler.step(optimizer.adamw)
    optimizer.scaler.update()
    shown["grad_norm"] = norm
    if optimizer.scaler.is_enabled():
        shown["loss_scale"] = torch.tensor(optimizer.scaler.get_scale())
    return {f"{optimizer.prefix}{name}": value for name, value in shown.items()}


def _require_finite(optimizer: _Optimizer, shown: dict[str, torch.Tensor], step: int) -> None:
    """Wait for update `step`, and raise an error if its gradient is not finite at any loss scale.

    Raises:
        TrainingDiverged: the gradient is not finite.
    """
    if torch.isfinite(shown[f"{optimizer.prefix}grad_norm"]):
        return
    # The scale is already that of the next update.
    if not optimizer.scaler.is_enabled() or optimizer.scaler.get_scale() < SMALLEST_SCALE:
        raise TrainingDiverged(
            f"the gradient of the {optimizer.name} is not finite at step {step}; lower the learning rate"
        )


def _readable(losses: dict[str, torch.Tensor], step: int, rate: float, world: World) -> dict[str, Any]:
    """Return one line of the curve, without the infinities of a skipped update, which JSON cannot express."""
    values = {name: float(world.mean(value)) for name, value in losses.items()}
    return {"step": step, "learning_rate": rate} | {
        name: value for name, value in values.items() if math.isfinite(value)
    }
