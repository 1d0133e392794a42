"""What the maker of an artifact is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from experiments.artifacts import Artifact
from experiments.store import TOKENS
from sftok.distributed import SINGLE, World
from sftok.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    import torch

    from sftok.data.augmentation import AugmentationConfig
    from sftok.data.base import ImageSet
    from sftok.training.loop import Monitor

MODEL = "model.safetensors"

PROGRESS_UNITS = 1000


class Data(Protocol):
    """Where a task's images come from."""

    def load(self, split: str) -> ImageSet:
        """The images of `split`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """One artifact to make: its configuration, its inputs' folders, and a folder of its own to write to.

    Of several processes that make it together the first alone writes; the folders are the same for all.
    """

    artifact: Artifact
    folder: Path
    inputs: Mapping[str, Path]
    """The finished inputs' folders by role."""
    load_data: Callable[[str], ImageSet]
    """The data set of a split."""
    cache: Path
    """A folder shared by all tasks for files that are named by their content."""
    monitor: Monitor
    world: World = SINGLE
    """The processes that make it together."""

    def report(self, fraction: float) -> None:
        """Say how far work without checkpoints is; the place where it can be stopped.

        Raises:
            TrainingInterrupted: the runner was asked to stop; what is in no file yet begins anew next time.
        """
        if self.monitor.should_stop():
            kept = any(self.folder.glob(f"{TOKENS}*"))
            raise TrainingInterrupted(
                "stopped; it goes on from the files that are complete"
                if kept
                else "stopped; it begins anew next time"
            )
        self.monitor.progress(round(fraction * PROGRESS_UNITS), PROGRESS_UNITS)

    @property
    def config(self) -> Mapping[str, Any]:
        """The artifact's configuration."""
        return self.artifact.config

    @property
    def augmentation(self) -> AugmentationConfig | None:
        """The views of the training images; None where they are the centre crops."""
        # Imported here, as below.
        from sftok.data.augmentation import AugmentationConfig

        values = self.config.get("augmentation")
        return None if values is None else AugmentationConfig.model_validate(values)

    def open_device(self) -> torch.device:
        """The device on which it is to be made.

        Raises:
            DeviceError: it is not there.
        """
        # Imported here: what a job needs before its maker is known must not wait for torch.
        from sftok.device import open_device

        artifact = self.artifact
        return open_device(artifact.device, tf32=artifact.tf32, local_rank=self.world.local_rank)


Maker = Callable[[Task], dict[str, Any]]
"""Makes an artifact: writes its files to the task's folder and returns what `result.json` shall hold."""
