"""A checkpoint: everything that a run needs to go on as if it had never stopped, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sftok.training.ema import WeightAverage
from sftok.weights import DamagedFileError, load_tensors, save_tensors

FILE_NAME = "checkpoint.safetensors"


@dataclass
class TrainingState:
    """The live objects of a run, saved and restored in place."""

    module: nn.Module
    optimisers: Mapping[str, torch.optim.Optimizer]
    average: WeightAverage
    scalers: Mapping[str, torch.amp.GradScaler]
    """Of the losses, by player; those that do nothing are not saved."""
    step: int = 0
    """Updates done."""
    seconds: float = 0.0
    """Time spent so far, over all interruptions."""

    def save(self, folder: Path) -> None:
        """Write the state to `folder`, atomically replacing an earlier one."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        for player, optimiser in self.optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{player}.{index}.{slot}": value for slot, value in slots.items()}
        scales = {
            player: scaler.state_dict() for player, scaler in self.scalers.items() if scaler.is_enabled()
        }
        progress = {"step": self.step, "seconds": self.seconds, "scales": scales}
        save_tensors(folder / FILE_NAME, tensors, {"progress": json.dumps(progress)})

    def restore(self, folder: Path) -> bool:
        """Take the state from `folder` if there is a checkpoint; says whether there was.

        Raises:
            DamagedFileError: the checkpoint is damaged or belongs to another model.
        """
        path = folder / FILE_NAME
        if not path.exists():
            return False
        tensors, metadata = load_tensors(path)
        try:
            self.module.load_state_dict(_under("module.", tensors))
            _copy_into(self.average.tensors, _under("average.", tensors))
            for player, optimiser in self.optimisers.items():
                _restore_optimiser(optimiser, _under(f"optimiser.{player}.", tensors))
            progress = json.loads(metadata["progress"])
            for player, scaler in self.scalers.items():
                if scaler.is_enabled():
                    scaler.load_state_dict(progress["scales"][player])
            self.step, self.seconds = int(progress["step"]), float(progress["seconds"])
        except (IndexError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DamagedFileError(
                path, f"does not fit this run ({reason})", "delete it to start anew"
            ) from None
        return True


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _copy_into(target: dict[str, torch.Tensor], source: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".", 1)
        like = parameters[int(index)]
        # A file has one memory layout. A fused optimiser pairs moments and weights by their place in memory.
        value = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
        state.setdefault(int(index), {})[slot] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
