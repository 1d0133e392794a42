"""Torch files: state dicts, training checkpoints that hold one, and TorchScript archives; no code is run.

Everything is unpickled by torch's restricted reader (`weights_only=True`). Objects of a training framework,
such as the options of a run, are replaced by inert dictionaries; any other object is rejected. From a
TorchScript archive only the tensors are read, never the program.
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
"""Entries of training checkpoints that hold weights; averaged ones first, as in the authors' evaluations."""

SCRIPTED = "__torch__."
FRAMEWORKS = (SCRIPTED, "pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "argparse.")
"""Prefixes of objects that are replaced: modules of a TorchScript archive, and options of a run."""

PROGRAM = re.compile(r"/(constants\.pkl|code/)")
"""Members of a TorchScript archive that hold its code."""

logger = logging.getLogger(__name__)


class Inert(dict[str, Any]):
    """Replaces an object of a training framework, which is not imported; holds only the object's state."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Ignore the object's constructor arguments."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            self.update(state)


def read_torch(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a torch file by name.

    Raises:
        CheckpointError: the file holds objects other than tensors, or is damaged.
    """
    try:
        # Given a path, torch would rely on its suffix. Its warnings add nothing to its errors.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = _load(file)
    except pickle.UnpicklingError as error:
        # Torch's message recommends trusting the file; only the object that the pickle names is reported.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        holds = f" ({named[1]})" if named else ""
        raise CheckpointError(
            f"{path}: a pickle that is damaged or holds more than tensors{holds}; refused, none of it was run"
            "; save the model's state dict alone, best as safetensors"
        ) from None
    except Exception as error:  # a damaged file can make the reader raise almost anything
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
    """Rewrite a TorchScript archive as a torch file of its modules' state; return other files unchanged."""
    with zipfile.ZipFile(file) as archive:
        members = [each for each in archive.infolist() if not PROGRAM.search(each.filename)]
        if any(each.compress_type != zipfile.ZIP_STORED for each in members):
            raise ValueError("its tensors are compressed, as torch never does, and could fill the memory")
        if not any(name.endswith("/constants.pkl") for name in archive.namelist()):
            return file
        kept = io.BytesIO()
        with zipfile.ZipFile(kept, "w") as copy:
            for member in members:
                copy.writestr(member.filename, archive.read(member))
    return kept


def _state_dict(path: Path, content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the weights of a training checkpoint, or `content` if it is not one."""
    for entry in ENTRIES:
        weights = content.get(entry)
        if isinstance(weights, Mapping) and any(isinstance(value, Tensor) for value in weights.values()):
            others = ", ".join(sorted(str(name)[:40] for name in content if name != entry))
            logger.info("%s: reading its entry %r, ignoring %s", path, entry, others or "others")
            return weights
    return content


def _scripted(module: Inert, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a TorchScript module and its submodules, as in a state dict."""
    for name, value in module.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value.detach()
        elif isinstance(value, Inert):
            yield from _scripted(value, f"{prefix}{name}.")
