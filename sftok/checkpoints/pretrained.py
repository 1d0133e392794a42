"""The base of models that can be saved and loaded: `from_pretrained` and `save_pretrained`.

Each model defines its record, from which it is rebuilt; the other modules of this package find and read
files.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sftok.checkpoints import CONFIG_FILE, WEIGHTS_FILE, Checkpoint, CheckpointError, read_checkpoint
from sftok.config import Config, ConfigError
from sftok.io.unfinished import write_text
from sftok.io.weights import save_tensors


class Pretrained(nn.Module, ABC):
    """A model with a record from which an identical one can be built.

    Attributes:
        architecture: the name of the architecture in checkpoints.
        record_type: the type that validates its record.
    """

    architecture: ClassVar[str]
    record_type: ClassVar[type[Config]]

    @property
    @abstractmethod
    def record(self) -> Config:
        """Everything that `from_record` needs to rebuild this model, apart from weights."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Any, generator: torch.Generator | None = None) -> Self:
        """Build a model with weights drawn from `generator` (None: seed 0)."""

    @classmethod
    def from_record(cls, record: Any, generator: torch.Generator | None = None) -> Self:
        """Build a model from `record`, which is its configuration unless the model records more."""
        return cls.from_config(record, generator)

    @classmethod
    def from_pretrained(
        cls, reference: str | Path, *, teacher: str | Path | None = None, config: Config | None = None
    ) -> Self:
        """Load the model of a checkpoint, in evaluation mode, on the CPU, in float32.

        Args:
            reference: a file, a folder, or a hub id (`org/name`, `org/name/file`). Local paths take
                precedence.
            teacher: a MaskGIT-VQGAN, given in the same ways, for a released SFTok checkpoint of stage 1 or 2,
                which holds no pixel decoder.
            config: replaces the configuration that was saved, or that was inferred from the shapes of a
                released checkpoint, which do not determine everything (`sftok.checkpoints.released`).

        Raises:
            CheckpointError: the checkpoint cannot be found, read or trusted, holds another model, or does not
                fit; the one-line message names it.
        """
        return cls.from_checkpoint(read_checkpoint(reference, teacher), config)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, config: Config | None = None) -> Self:
        """Like `from_pretrained`, with tensors in memory, which become the weights without a copy.

        Raises:
            CheckpointError: as for `from_pretrained`.
        """
        source = checkpoint.source
        if checkpoint.architecture != cls.architecture:
            raise CheckpointError(
                f"{source}: holds a model {checkpoint.architecture!r}, not {cls.architecture!r}"
            )
        try:
            record = cls.record_type.build({**checkpoint.record, **(config.model_dump() if config else {})})
        except ConfigError as error:
            raise CheckpointError(
                f"{source}: its configuration cannot be used: {error}; "
                "pass values that are not in the file with from_pretrained(..., config=CONFIG)"
            ) from None
        with without_weights():  # all of them are replaced
            model = cls.from_record(record)
        checkpoint.check_fit(model.state_dict())
        if len(model.state_dict()) < len([*model.parameters(), *model.buffers()]):
            model = cls.from_record(record)  # a part has constants that are not saved
        # Cloned, because a tensor's offset in a file depends on the header, and kernels round by memory
        # address.
        tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
        model.load_state_dict(tensors, assign=True)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write `model.safetensors` and `config.json` into `folder`, which is created if missing.

        Each file is written atomically. The weight file also holds the configuration, so it can be moved on
        its own.

        Returns:
            The folder.

        Raises:
            ConfigError: a part was injected that the record cannot describe.
            OSError: the folder cannot be written.
        """
        folder, record = Path(folder), self.record.model_dump(mode="json")
        folder.mkdir(parents=True, exist_ok=True)
        self.save_weights(folder / WEIGHTS_FILE)
        content = {"architecture": self.architecture, "config": record}
        write_text(folder / CONFIG_FILE, json.dumps(content, indent=1) + "\n")
        return folder

    def save_weights(self, path: Path) -> str:
        """Atomically write weights and configuration into one file; returns the hash of the weights.

        Raises:
            ConfigError: a part was injected that the record cannot describe.
            OSError: the file cannot be written.
        """
        config = json.dumps(self.record.model_dump(mode="json"))
        return save_tensors(path, self.state_dict(), {"architecture": self.architecture, "config": config})


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Build models on the meta device: shapes without memory or random draws."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Skips functions that fill tensors.

    On the meta device they have no effect, but calling them makes torch import its compiler, which takes
    seconds.
    """

    FILLED_BY = {nn.init.normal_: "tensor", torch.eye: "out"}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        filled = kwargs.get(self.FILLED_BY.get(func, ""))
        return func(*args, **kwargs) if filled is None else filled
