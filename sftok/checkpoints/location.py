"""Where a checkpoint is: a file, a folder, or an id on the Hugging Face hub. What exists locally wins."""

from __future__ import annotations

import re
from pathlib import Path

from sftok.checkpoints.checkpoint import CheckpointError
from sftok.checkpoints.files import CONFIG_FILE, WEIGHTS_FILE

PICKLED_WEIGHTS_FILE = "pytorch_model.bin"
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
"""Of weight files, the preferred kind first."""

_HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(/(?P<file>[\w./-]+))?")


def locate(reference: str) -> Path:
    """The weight file that `reference` stands for.

    Raises:
        CheckpointError: there is none, or a folder holds more than one.
    """
    try:
        path = Path(reference).expanduser()
    except RuntimeError:  # of a user who does not exist
        raise CheckpointError(f"{reference}: no such file or folder") from None
    if path.is_dir():
        return _weights_in(path)
    if path.exists():
        return path
    hub_id = _HUB_ID.fullmatch(reference)
    if hub_id is None or reference.startswith("."):
        raise CheckpointError(f"{reference}: no such file or folder")
    return _fetch(hub_id["repository"], hub_id["file"])


def _weights_in(folder: Path) -> Path:
    for name in (WEIGHTS_FILE, PICKLED_WEIGHTS_FILE):
        if (folder / name).is_file():
            return folder / name
    for suffix in SUFFIXES:
        found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found[:5])
            raise CheckpointError(f"{folder}: holds {len(found)} weight files ({names}); name one of them")
    raise CheckpointError(f"{folder}: holds no weight file ({WEIGHTS_FILE}, or one of {', '.join(SUFFIXES)})")


def _fetch(repository: str, file: str | None) -> Path:
    """The path of a hub file in the local cache, downloaded if it is not there yet."""
    candidates = [file] if file else [WEIGHTS_FILE, PICKLED_WEIGHTS_FILE]
    wanted = " or ".join(candidates)
    nowhere = f"{repository}: no such file or folder, and as a Hugging Face id"
    by_hand = f"download {wanted} of {repository} by hand, and give its path"
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        raise CheckpointError(
            f"{nowhere} it needs the package huggingface_hub; install it, or {by_hand}"
        ) from None

    unreachable: list[LocalEntryNotFoundError] = []

    def download(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            unreachable.append(error)  # offline: another file may be in the cache
            return None
        except EntryNotFoundError:
            return None

    try:
        weights = next((path for path in map(download, candidates) if path is not None), None)
        if weights is not None:
            download(CONFIG_FILE)  # beside the weights, if there is one
        elif unreachable:
            raise unreachable[0]
    except Exception as error:  # offline, no such repository, no permission, a broken connection ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{nowhere} it cannot be fetched ({reason}); {by_hand}") from None
    if weights is None:
        raise CheckpointError(
            f"{repository}: has no {wanted} on the Hugging Face hub; name a file: ORG/NAME/FILE"
        )
    return weights
