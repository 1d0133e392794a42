"""What the maker of an artifact is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from experiments.artifacts import Artifact
from experiments.monitor import FileMonitor
from sftok.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    from sftok.data.base import ImageSet

MODEL = "model.safetensors"

PROGRESS_UNITS = 1000


class Data(Protocol):
    """Where a task's images come from."""

    def load(self, split: str) -> ImageSet:
        """The images of `split`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """One artifact to make: its configuration, its inputs' folders, and a folder of its own to write to."""

    artifact: Artifact
    folder: Path
    inputs: Mapping[str, Path]
    """The finished inputs' folders by role."""
    load_data: Callable[[str], ImageSet]
    """The data set of a split."""
    cache: Path
    """A folder shared by all tasks for files that are named by their content."""
    monitor: FileMonitor

    def report(self, fraction: float) -> None:
        """Say how far work without checkpoints is; the place where it can be stopped.

        Raises:
            TrainingInterrupted: the runner was asked to stop; the work begins anew next time.
        """
        if self.monitor.should_stop():
            raise TrainingInterrupted("stopped; it begins anew next time")
        self.monitor.progress(round(fraction * PROGRESS_UNITS), PROGRESS_UNITS)

    @property
    def config(self) -> Mapping[str, Any]:
        """The artifact's configuration."""
        return self.artifact.config


Maker = Callable[[Task], dict[str, Any]]
"""Makes an artifact: writes its files to the task's folder and returns what `result.json` shall hold."""
