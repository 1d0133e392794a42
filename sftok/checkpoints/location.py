"""Finds a checkpoint: a file, a folder, or an id on the Hugging Face hub. Local paths take precedence."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from sftok.checkpoints.checkpoint import CheckpointError
from sftok.checkpoints.files import CONFIG_FILE, INDEX_SUFFIX, WEIGHTS_FILE, shards_of

PICKLED_WEIGHTS_FILE = "pytorch_model.bin"
PREFERRED = (
    WEIGHTS_FILE,
    WEIGHTS_FILE + INDEX_SUFFIX,
    PICKLED_WEIGHTS_FILE,
    PICKLED_WEIGHTS_FILE + INDEX_SUFFIX,
)
SUFFIXES = (
    *(f".safetensors{INDEX_SUFFIX}", ".safetensors", f".bin{INDEX_SUFFIX}"),
    *(".bin", ".pt", ".pth", ".ckpt", ".jit"),
)
"""Suffixes of weight files and indices of shards, in order of preference."""

_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.\w+")
_HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(/(?P<file>[\w./-]+))?")


def locate(reference: str) -> Path:
    """Find the weight file that `reference` stands for.

    Raises:
        CheckpointError: there is no such file, or a folder holds more than one.
    """
    try:
        path = Path(reference).expanduser()
    except RuntimeError:  # the home directory of an unknown user
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
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    for suffix in SUFFIXES:
        found = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file())
        if len(found) == 1 and not _SHARD.fullmatch(found[0].name):
            return found[0]
        if found and all(_SHARD.fullmatch(path.name) for path in found):
            raise CheckpointError(
                f"{folder}: holds shards ({found[0].name}) without their index; "
                f"put {WEIGHTS_FILE}{INDEX_SUFFIX}, or the index under its original name, beside them"
            )
        if found:
            names = ", ".join(path.name for path in found[:5])
            raise CheckpointError(f"{folder}: holds {len(found)} weight files ({names}); name one of them")
    kinds = ".safetensors, .bin, .pt, .pth, .ckpt, .jit"
    raise CheckpointError(f"{folder}: holds no weight file ({WEIGHTS_FILE}, or one of {kinds})")


def _fetch(repository: str, file: str | None) -> Path:
    """Return the path of a hub file in the local cache, downloading it if necessary."""
    candidates = [file] if file else list(PREFERRED)
    wanted = file or f"{WEIGHTS_FILE} or {PICKLED_WEIGHTS_FILE}"
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
            unreachable.append(error)  # offline, but another file may be in the cache
            return None
        except EntryNotFoundError:
            return None

    try:
        weights = next((path for path in map(download, candidates) if path is not None), None)
        if weights is not None:
            download(CONFIG_FILE)  # the configuration beside the weights, if there is one
            if weights.name.endswith(INDEX_SUFFIX):
                for shard in sorted(set(shards_of(weights).values())):
                    hf_hub_download(repository, str(PurePosixPath(file or shard).with_name(shard)))
        elif unreachable:
            raise unreachable[0]
    except CheckpointError:
        raise
    except Exception as error:  # offline, no such repository, no permission, a broken connection ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{nowhere} it cannot be fetched ({reason}); {by_hand}") from None
    if weights is None:
        raise CheckpointError(
            f"{repository}: has no {wanted} on the Hugging Face hub; name a file: ORG/NAME/FILE"
        )
    return weights
