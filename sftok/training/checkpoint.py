"""A checkpoint: one safetensors file with everything that a run needs to resume as if never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sftok.io.weights import DamagedFileError, load_tensors, save_tensors
from sftok.training.ema import WeightAverage

FILE_NAME = "checkpoint.safetensors"


@dataclass
class TrainingState:
    """The live objects of a training run, saved and restored in place."""

    module: nn.Module
    optimizers: Mapping[str, torch.optim.Optimizer]
    average: WeightAverage
    scalers: Mapping[str, torch.amp.GradScaler]
    """Loss scalers by optimizer; disabled ones are not saved."""
    step: int = 0
    """Number of completed updates."""
    seconds: float = 0.0
    """Training time so far, over all attempts."""

    def save(self, folder: Path) -> None:
        """Write the state to `folder`, atomically replacing an earlier one."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        for owner, optimizer in self.optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimiser.{owner}.{index}.{slot}": value for slot, value in slots.items()}
        scales = {owner: scaler.state_dict() for owner, scaler in self.scalers.items() if scaler.is_enabled()}
        progress = {"step": self.step, "seconds": self.seconds, "scales": scales}
        save_tensors(folder / FILE_NAME, tensors, {"progress": json.dumps(progress)})

    def restore(self, folder: Path) -> bool:
        """Restore the checkpoint in `folder`, if any; returns whether there was one.

        Raises:
            DamagedFileError: the checkpoint is damaged or belongs to another run.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return False
        tensors, metadata = load_tensors(path)
        try:
            self.module.load_state_dict(_under("module.", tensors))
            _copy_into(self.average.tensors, _under("average.", tensors))
            for owner, optimizer in self.optimizers.items():
                _restore_optimizer(optimizer, _under(f"optimiser.{owner}.", tensors))
            progress = json.loads(metadata["progress"])
            for owner, scaler in self.scalers.items():
                if scaler.is_enabled():
                    scaler.load_state_dict(progress["scales"][owner])
            self.step, self.seconds = int(progress["step"]), float(progress["seconds"])
        except (IndexError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DamagedFileError(
                path, f"does not fit this run ({reason})", "delete it to start over"
            ) from None
        return True


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _copy_into(target: dict[str, torch.Tensor], source: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".", 1)
        like = parameters[int(index)]
        # The file has no memory layout, but a fused optimizer pairs moments with weights by memory position.
        value = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
        state.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
