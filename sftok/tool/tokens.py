"""Token files: an .npz of ids and their provenance, without pickles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from sftok.io.arrays import read_arrays
from sftok.tokenizers.hub import Tokenizer, identity
from sftok.tool.errors import ToolError
from sftok.tool.images import preprocessing

FIELDS = ("ids", "files", "preprocessing", "checkpoint")


@dataclass(frozen=True, eq=False)
class TokenFile:
    """The content of a token file.

    Attributes:
        ids: int64 `[N, K]`.
        files: the N images, by the paths that were given.
        preprocessing: how the images were prepared.
        checkpoint: the model of the ids: `architecture`, `num_tokens`, `codebook_size` and the SHA-256
            `identity` of its weights and configuration.
    """

    ids: Tensor
    files: list[str]
    preprocessing: dict[str, Any]
    checkpoint: dict[str, Any]


def checkpoint_record(tokenizer: Tokenizer) -> dict[str, Any]:
    """Describe the model of a token file."""
    return {
        "architecture": tokenizer.architecture,
        "num_tokens": tokenizer.num_tokens,
        "codebook_size": tokenizer.codebook_size,
        "identity": identity(tokenizer),
    }


def write_tokens(file: BinaryIO, ids: Tensor, files: Sequence[str], tokenizer: Tokenizer) -> None:
    """Write ids, int64 `[N, K]`, of N `files` as a token file.

    Raises:
        OSError: the file cannot be written.
    """
    np.savez(
        file,
        ids=ids.cpu().numpy(),
        files=np.array(list(files), dtype=np.str_),
        preprocessing=np.array(json.dumps(preprocessing(tokenizer.image_size))),
        checkpoint=np.array(json.dumps(checkpoint_record(tokenizer))),
    )


def load_tokens(path: Path) -> TokenFile:
    """Read a token file.

    Raises:
        ToolError: the file is damaged or not a token file.
    """
    try:
        content = read_arrays(path)
        fields = {name: content[name] for name in FIELDS}
        ids, files = fields["ids"], fields["files"]
        described = [json.loads(str(fields[name])) for name in ("preprocessing", "checkpoint")]
    except FileNotFoundError:
        raise ToolError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{path}: not a complete token file ({' '.join(str(error).split())})") from None
    if ids.dtype != np.int64 or ids.ndim != 2 or files.dtype.kind != "U" or files.shape != ids.shape[:1]:
        raise ToolError(
            f"{path}: not a token file: ids are {ids.dtype} of shape {ids.shape}, "
            f"files {files.dtype} of shape {files.shape}"
        )
    if not len(ids):
        raise ToolError(f"{path}: holds no ids")
    if wrong := [name for name in files.tolist() if "\0" in name or not Path(name).name]:
        raise ToolError(f"{path}: damaged: {wrong[0]!r} is not a file name")
    if not all(isinstance(part, dict) for part in described):
        raise ToolError(f"{path}: not a token file: its preprocessing and checkpoint are not described")
    return TokenFile(torch.from_numpy(ids), files.tolist(), *described)


def check_tokens(path: str | Path, tokens: TokenFile, tokenizer: Tokenizer) -> None:
    """Reject ids of another checkpoint, and ids that no checkpoint produces.

    Raises:
        ToolError: the ids do not fit; the message names both checkpoints.
    """
    made_by, given = tokens.checkpoint, checkpoint_record(tokenizer)
    if made_by.get("identity") != given["identity"]:
        raise ToolError(
            f"{path}: its ids are from another checkpoint ({_named(made_by)}) than the given one "
            f"({_named(given)}); use the one it was made with, and for random weights the same --seed"
        )
    shape, size = (len(tokens.ids), tokenizer.num_tokens), tokenizer.codebook_size
    if tokens.ids.shape != shape or tokens.ids.min() < 0 or tokens.ids.max() >= size:
        raise ToolError(f"{path}: damaged: not {shape[1]} ids below {size} for each image")


def _named(checkpoint: dict[str, Any]) -> str:
    return f"{checkpoint.get('architecture')} {str(checkpoint.get('identity'))[:12]}"
