"""The context in which an artifact is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from experiments.store import Store, saved_files
from experiments.store.store import Named
from sftok.distributed import SINGLE, World
from sftok.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    import torch

    from sftok.data.base import ImageSet
    from sftok.training.loop import Monitor

MODEL = "model.safetensors"

PROGRESS_UNITS = 1000


class Placed(Protocol):
    """The fields of an artifact that say where it is made."""

    @property
    def device(self) -> str:
        """The kind of device: `cpu` or `cuda`."""

    @property
    def tf32(self) -> bool:
        """Whether a GPU may round the inputs of float32 products."""

    @property
    def compile(self) -> str:
        """How training uses `torch.compile`."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The folder to write to, and access to inputs, data and caches.

    When several processes make an artifact together, all have the same folders and only the first one writes.
    """

    folder: Path
    """The folder for the artifact's files."""
    store: Store
    load_data: Callable[[str], ImageSet]
    """Loads the image set of a split."""
    monitor: Monitor
    world: World = SINGLE
    """The processes that make the artifact together."""

    @property
    def cache(self) -> Path:
        """A folder shared by all artifacts, for files named by their content."""
        return self.store.root / "cache"

    def folder_of(self, finished: Named) -> Path:
        """The folder of a finished input."""
        return self.store.folder(finished)

    def report(self, fraction: float) -> None:
        """Report the progress of work without checkpoints, which can be stopped at this point.

        Raises:
            TrainingInterrupted: the runner was asked to stop; work not yet saved starts over next time.
        """
        if self.monitor.should_stop():
            raise TrainingInterrupted(
                "stopped; it resumes from the files that are complete"
                if saved_files(self.folder)
                else "stopped; it starts again next time"
            )
        self.monitor.progress(round(fraction * PROGRESS_UNITS), PROGRESS_UNITS)

    def open_device(self, artifact: Placed) -> torch.device:
        """The device on which `artifact` is made.

        Raises:
            DeviceError: it does not exist.
        """
        # Imported here, because modules loaded before an artifact is made must not wait for torch.
        from sftok.device import DeviceName, open_device

        device = cast("DeviceName", artifact.device)
        return open_device(device, tf32=artifact.tf32, local_rank=self.world.local_rank)
