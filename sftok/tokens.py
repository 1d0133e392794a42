"""Token ids of a whole image set on disk: computed once, then read as a memory map.

One mechanism for any frozen encoder: the teacher's codes, which a tokenizer is trained on, and a tokenizer's
ids, which a generator is trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.weights import DamagedFileError

FILE_NAME = "codes.npy"


class TokenEncoder(Protocol):
    """A frozen teacher or tokenizer: images to ids."""

    @property
    def num_tokens(self) -> int:
        """Ids an image, K."""

    @property
    def codebook_size(self) -> int:
        """What an id counts up to."""

    def encode(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`."""


@torch.no_grad()
def write_tokens(
    encoder: TokenEncoder,
    image_set: ImageSet,
    folder: Path,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    device: torch.device | str = "cpu",
) -> Path:
    """Encode every image of `image_set`, in order, to `folder/codes.npy` of `[images, K]`.

    Args:
        encoder: in evaluation mode.
        image_set: whose images are encoded.
        folder: the file appears in it when it is complete.
        batch_size: images encoded at once.
        on_progress: `on_progress(done, total)` counts images.
        device: where the encoder is.
    """
    path = folder / FILE_NAME
    temporary = path.with_suffix(".partial.npy")
    dtype = np.uint16 if encoder.codebook_size <= 1 << 16 else np.int32
    shape = (len(image_set), encoder.num_tokens)
    ids = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
    done = 0
    for batch in ordered_batches(image_set, batch_size):
        encoded = encoder.encode(batch.images.to(device)).cpu()
        ids[done : done + len(encoded)] = encoded.numpy()
        done += len(encoded)
        on_progress(done, len(image_set))
    ids.flush()
    del ids
    temporary.replace(path)
    return path


class TokenCache:
    """Looks up the ids of a batch by the images' indices."""

    def __init__(self, folder: Path, num_images: int, num_tokens: int):
        path = folder / FILE_NAME
        try:
            self._ids = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedFileError(
                f"{path}: not a complete code cache ({error}); delete its folder"
            ) from None
        if self._ids.shape != (num_images, num_tokens):
            raise DamagedFileError(
                f"{path}: holds codes of shape {self._ids.shape}, expected {(num_images, num_tokens)}"
            )

    def __call__(self, batch: Batch) -> Tensor:
        """The ids `[B, K]` of `batch`, int64, where its images are."""
        ids = torch.from_numpy(self._ids[batch.indices.cpu().numpy()].astype(np.int64))
        return ids.to(batch.images.device)
