"""Tensors on disk: safetensors files, written atomically, with a checksum of their content.

Truncated or altered files and other formats are rejected by name; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sftok.io.unfinished import atomic

CHECKSUM = "sha256"


class DamagedFileError(ValueError):
    """A file of tensors whose content cannot be trusted.

    Args:
        path: the file, or the folder of files that belong together.
        problem: what is wrong with it.
        remedy: what to do; a caller that knows where the file came from may know better.
    """

    def __init__(self, path: Path, problem: str, remedy: str = "delete it and run again") -> None:
        super().__init__(path, problem, remedy)
        self.path = path
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.remedy}"


def content_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names, types, shapes and bytes of `tensors`, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Write `tensors` to `path` atomically and return the hash of their content.

    Raises:
        OSError: the disk is full or the folder is read-only; `path` is left unchanged.
    """
    separate: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        found = tensor.detach().cpu().contiguous()
        # A file cannot hold views; other tensors are not copied, because some take most of the memory.
        if found.untyped_storage().nbytes() != found.nbytes or found.data_ptr() in storages:
            found = found.clone()
        storages.add(found.data_ptr())
        separate[name] = found
    checksum = content_hash(separate)
    try:
        with atomic(path) as temporary:
            save_file(separate, temporary, metadata={**(metadata or {}), CHECKSUM: checksum})
    except SafetensorError as error:
        raise OSError(f"{path}: could not be written: {error}") from None
    return checksum


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a file that `save_tensors` wrote.

    Raises:
        DamagedFileError: the file is truncated, altered, or was not written by `save_tensors`.
        FileNotFoundError: `path` does not exist.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedFileError(path, f"not a complete safetensors file ({error})") from None
    expected = metadata.pop(CHECKSUM, None)
    if expected is None:
        raise DamagedFileError(path, "carries no checksum; it was not written by sftok")
    if content_hash(tensors) != expected:
        raise DamagedFileError(path, "its content does not match its checksum; the file is damaged")
    return tensors, metadata
