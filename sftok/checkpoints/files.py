"""Weight files read without running what is in them.

The kind of a file is told by its first bytes, not by its name. Safetensors cannot hold code; a torch file is
unpickled by torch's restricted reader (`weights_only=True`), which refuses everything but tensors in plain
containers. Weights are float32 afterwards: a file that is bfloat16 or float16 throughout is converted, and a
mixture is refused, since it says that something went wrong where it was written.
"""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sftok.checkpoints.checkpoint import CheckpointError
from sftok.weights import CHECKSUM, DamagedFileError, load_tensors

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)

_HEADER_LENGTH = 8
_ZIP, _PICKLE = b"PK", b"\x80"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a file holds.

    Attributes:
        path: the file.
        tensors: by the names in the file; those of floating point are float32.
        config: the configuration that this package wrote with them; None for files of other origin.
    """

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any] | None


def read_file(path: Path) -> WeightFile:
    """Read a safetensors or torch file.

    Raises:
        CheckpointError: it is no such file, incomplete, damaged, holds other things than tensors, mixes
            precisions, or contradicts the `config.json` beside it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_LENGTH + 1)
        metadata: dict[str, str] = {}
        if start[_HEADER_LENGTH:] == b"{":
            tensors, metadata = _read_safetensors(path)
        elif start.startswith((_ZIP, _PICKLE)):
            tensors = _read_torch(path)
        else:
            raise CheckpointError(f"{path}: neither a safetensors nor a torch file, or its start is damaged")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return WeightFile(path, _in_float32(path, tensors), _config(path, metadata))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if CHECKSUM not in metadata:
                # Another project's; what it calls its configuration is nothing to us.
                return {name: file.get_tensor(name) for name in file.keys()}, {}  # noqa: SIM118
        return load_tensors(path)
    except DamagedFileError as error:
        raise CheckpointError(f"{error.path}: {error.problem}; get it again") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error}); get it again") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        # Given the path, torch would go by its suffix. Its warnings say nothing that an error does not.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path}: a pickle of more than tensors, or a damaged one; refused, none of it was run ({reason})"
        ) from None
    except Exception as error:  # a damaged file makes the reader raise almost anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: not a complete torch file ({reason}); get it again") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not tensors by name")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise CheckpointError(
                f"{path}: {str(name)[:80]!r} is no plain tensor; save the model's state dict alone"
            )
    return dict(content)


def _in_float32(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    example = {tensor.dtype: name for name, tensor in tensors.items() if tensor.is_floating_point()}
    if len(example) > 1:
        listed = ", ".join(
            f"{name} is {str(dtype).removeprefix('torch.')}" for dtype, name in example.items()
        )
        raise CheckpointError(f"{path}: mixed precisions: {listed}; save all of it in one")
    for dtype in example:
        if dtype not in PRECISIONS:
            raise CheckpointError(f"{path}: is {str(dtype).removeprefix('torch.')}; save it in float32")
        if dtype != torch.float32:
            logger.warning("%s: is %s; computed in float32", path, str(dtype).removeprefix("torch."))
    for name, tensor in tensors.items():
        # A decoder of such weights still picks codes, and its images would get numbers like any others.
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values; take an earlier checkpoint")
    return {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _config(path: Path, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """What the file's metadata say, or our own `config.json` beside it; one of the two is enough."""
    within = _parse(path, metadata["config"]) if "config" in metadata else None
    beside = path.with_name(CONFIG_FILE)
    content = _parse(beside, beside.read_text(encoding="utf-8", errors="replace")) if beside.is_file() else {}
    if set(content) != {"architecture", "config"}:
        return within  # an artifact's, or another project's
    if not isinstance(content["config"], dict):
        raise CheckpointError(f"{beside}: its configuration is no JSON object")
    if within is not None and within != content["config"]:
        raise CheckpointError(
            f"{beside}: is not the configuration that {path.name} was saved with; mend or remove it"
        )
    return content["config"]


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: its configuration is no JSON object")
    return content
