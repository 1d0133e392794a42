"""Torch files: state dicts, training checkpoints that hold one, and TorchScript archives; nothing is run.

Everything is unpickled by torch's restricted reader (`weights_only=True`). Where it meets an object of a
training framework, such as the options of a run, an inert dictionary takes its place; any other object is
refused. Of a TorchScript archive only the tensors are read, never the program.
"""

from __future__ import annotations

import io
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from sftok.checkpoints.checkpoint import CheckpointError

ENTRIES = ("ema", "model", "state_dict")
"""Where training checkpoints keep the weights; averaged ones come first, as in their authors' evaluations."""

SCRIPTED = "__torch__."
FRAMEWORKS = (SCRIPTED, "pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "argparse.")
"""Prefixes of objects that are replaced: the modules of a TorchScript archive, and options of a run."""

logger = logging.getLogger(__name__)


class Inert(dict[str, Any]):
    """Stands for an object of a training framework, which is not imported; holds its state alone."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Ignore what the object would be made of."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            self.update(state)


def read_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file by name.

    Raises:
        CheckpointError: it holds other objects than tensors, or is damaged.
    """
    try:
        # Given a path, torch would go by its suffix. Its warnings add nothing to its errors.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _load(file)
    except pickle.UnpicklingError as error:
        # Torch's message would advise to trust the file; all that is said of it is what the pickle names.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        holds = f" ({named[1]})" if named else ""
        raise CheckpointError(
            f"{path}: a pickle of more than tensors{holds}, or a damaged one; refused, none of it was run; "
            "save the model's state dict alone, best as safetensors"
        ) from None
    except Exception as error:  # a damaged file makes the reader raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: not a complete torch file ({reason}); get it again") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not tensors by name")
    if isinstance(content, Inert):
        return dict(_scripted(content))
    content = _state_dict(path, content)
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise CheckpointError(
                f"{path}: {str(name)[:80]!r} is not a plain tensor; save the model's state dict alone"
            )
    return dict(content)


def _load(file: IO[bytes]) -> Any:
    stubs: list[Any] = []
    if zipfile.is_zipfile(file):
        file = _without_program(file)
        file.seek(0)
        named = get_unsafe_globals_in_checkpoint(file)
        stubs = [(Inert, name) for name in named if name.startswith(FRAMEWORKS)]
    file.seek(0)
    with safe_globals(stubs):
        return torch.load(file, map_location="cpu", weights_only=True)


def _without_program(file: IO[bytes]) -> IO[bytes]:
    """A TorchScript archive as a torch file of its modules' state; other files as they are."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if not any(name.endswith("/constants.pkl") for name in names):
            return file
        kept = io.BytesIO()
        with zipfile.ZipFile(kept, "w") as copy:
            for name in names:
                if not re.search(r"/(constants\.pkl|code/)", name):
                    copy.writestr(name, archive.read(name))
    return kept


def _state_dict(path: Path, content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The weights of a training checkpoint, or `content`, if it is none."""
    for entry in ENTRIES:
        weights = content.get(entry)
        if isinstance(weights, Mapping) and any(isinstance(value, Tensor) for value in weights.values()):
            others = ", ".join(sorted(str(name)[:40] for name in content if name != entry))
            logger.info("%s: reads its entry %r; does not read %s", path, entry, others or "others")
            return weights
    return content


def _scripted(module: Inert, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a TorchScript module and of its parts, as in a state dict."""
    for name, value in module.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value.detach()
        elif isinstance(value, Inert):
            yield from _scripted(value, f"{prefix}{name}.")
