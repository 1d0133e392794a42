"""Reads weight files without executing anything in them.

The type of a file is detected from its first bytes, not from its name; only an index of shards is recognized
by name. Safetensors cannot hold code; a torch file is unpickled by torch's restricted reader
(`weights_only=True`), which accepts only tensors in plain containers. Weights are returned as float32: a file
that is bfloat16 or float16 throughout is converted, and mixed precisions are rejected, since they mean that
something went wrong when the file was written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sftok.checkpoints.checkpoint import CheckpointError
from sftok.checkpoints.torch_files import read_torch
from sftok.io.weights import CHECKSUM, DamagedFileError, load_tensors

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
INDEX_SUFFIX = ".index.json"
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)

_HEADER_LENGTH = 8
_ZIP, _PICKLE = b"PK", b"\x80"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The contents of a file, or of all shards of an index.

    Attributes:
        path: the file.
        tensors: by their names in the file; floating-point tensors are float32.
        saved: the architecture and configuration that this package saved with them; None for files of other
            origin.
    """

    path: Path
    tensors: dict[str, Tensor]
    saved: tuple[str, dict[str, Any]] | None


def read_file(path: Path) -> WeightFile:
    """Read a safetensors or torch file, or every shard that an index (`*.index.json`) names.

    Raises:
        CheckpointError: the file is of another type, incomplete or damaged, holds objects other than
            tensors, mixes precisions, or contradicts the `config.json` beside it.
    """
    metadata: dict[str, str] = {}
    if path.name.endswith(INDEX_SUFFIX):
        tensors = _read_shards(path)
    else:
        tensors, metadata = _read_one(path)
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return WeightFile(path, _in_float32(path, tensors), _saved(path, metadata))


def shards_of(index: Path) -> dict[str, str]:
    """Map each tensor in a Hugging Face index to its shard, a file beside `index`.

    Raises:
        CheckpointError: the file is not such an index.
    """
    try:
        text = index.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CheckpointError(f"{index}: cannot be read ({error.strerror or error})") from None
    placed = _parse(index, text).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise CheckpointError(f"{index}: names no shards (weight_map); get it again")
    for shard in placed.values():
        if not isinstance(shard, str) or not shard or Path(shard).name != shard:
            raise CheckpointError(f"{index}: {str(shard)[:80]!r} is not the name of a file beside it")
    return placed


def _read_shards(index: Path) -> dict[str, Tensor]:
    placed, tensors = shards_of(index), dict[str, Tensor]()
    for shard in sorted(set(placed.values())):
        path = index.with_name(shard)
        if not path.is_file():
            raise CheckpointError(f"{index}: its shard {shard} is missing; get it again")
        tensors |= {name: tensor for name, tensor in _read_one(path)[0].items() if placed.get(name) == shard}
    for name, shard in placed.items():
        if name not in tensors:
            raise CheckpointError(f"{index}: {name} is not in its shard {shard}; get both again")
    return tensors


def _read_one(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_LENGTH + 1)
        if start[_HEADER_LENGTH:] == b"{":
            return _read_safetensors(path)
        if start.startswith((_ZIP, _PICKLE)):
            return read_torch(path), {}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    raise CheckpointError(f"{path}: neither a safetensors nor a torch file, or its start is damaged")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if CHECKSUM not in metadata:
                # The file of another project, whose metadata does not apply here.
                return {name: file.get_tensor(name) for name in file.keys()}, {}  # noqa: SIM118
        return load_tensors(path)
    except DamagedFileError as error:
        raise CheckpointError(f"{error.path}: {error.problem}; get it again") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error}); get it again") from None


def _in_float32(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    example = {tensor.dtype: name for name, tensor in tensors.items() if tensor.is_floating_point()}
    if len(example) > 1:
        listed = ", ".join(
            f"{name} is {str(dtype).removeprefix('torch.')}" for dtype, name in example.items()
        )
        raise CheckpointError(f"{path}: mixed precisions: {listed}; save all of it in one precision")
    for dtype in example:
        if dtype not in PRECISIONS:
            raise CheckpointError(f"{path}: is {str(dtype).removeprefix('torch.')}; save it in float32")
        if dtype != torch.float32:
            logger.warning("%s: is %s; converted to float32", path, str(dtype).removeprefix("torch."))
    for name, tensor in tensors.items():
        # A decoder with such weights would still choose codes, and its images would be measured as usual.
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values; take an earlier checkpoint")
    return {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _saved(path: Path, metadata: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Read the configuration from the file's metadata or the `config.json` beside it; either is enough."""
    within = None
    if "architecture" in metadata and "config" in metadata:
        within = metadata["architecture"], _parse(path, metadata["config"])
    beside = path.with_name(CONFIG_FILE)
    content = _parse(beside, beside.read_text(encoding="utf-8", errors="replace")) if beside.is_file() else {}
    if set(content) != {"architecture", "config"}:
        return within  # the config.json of an artifact or of another project
    if not isinstance(content["config"], dict):
        raise CheckpointError(f"{beside}: its configuration is not a JSON object")
    saved = str(content["architecture"]), content["config"]
    if within is not None and within != saved:
        raise CheckpointError(
            f"{beside}: is not the configuration that {path.name} was saved with; correct or remove it"
        )
    return saved


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content
