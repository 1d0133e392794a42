"""The teacher's codes on disk: computed once, then read as a memory map (the teacher is frozen)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.weights import DamagedFileError

FILE_NAME = "codes.npy"


@torch.no_grad()
def write_codes(
    teacher: MaskGITVQGAN,
    image_set: ImageSet,
    folder: Path,
    batch_size: int,
    on_progress: Callable[[int, int], None],
) -> Path:
    """Encode every image of `image_set`, in order, to `folder/codes.npy` of `[images, N]`.

    `on_progress(done, total)` counts images.
    """
    teacher.eval()
    device = next(teacher.parameters()).device
    path = folder / FILE_NAME
    dtype = np.uint16 if teacher.config.codebook_size <= 1 << 16 else np.int32
    temporary = path.with_suffix(".partial.npy")
    shape = (len(image_set), teacher.config.num_codes)
    codes = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
    done = 0
    for batch in ordered_batches(image_set, batch_size):
        encoded = teacher.encode(batch.images.to(device)).cpu()
        codes[done : done + len(encoded)] = encoded.numpy().astype(dtype)
        done += len(encoded)
        on_progress(done, len(image_set))
    codes.flush()
    del codes
    temporary.replace(path)
    return path


class CodeCache:
    """Looks up the codes of a batch by the images' indices."""

    def __init__(self, folder: Path, num_images: int, num_codes: int):
        path = folder / FILE_NAME
        try:
            self._codes = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedFileError(
                f"{path}: not a complete code cache ({error}); delete its folder"
            ) from None
        if self._codes.shape != (num_images, num_codes):
            raise DamagedFileError(
                f"{path}: holds codes of shape {self._codes.shape}, expected {(num_images, num_codes)}"
            )

    def __call__(self, batch: Batch) -> torch.Tensor:
        """The codes `[B,N]` of `batch`, int64."""
        return torch.from_numpy(self._codes[batch.indices.numpy()].astype(np.int64))
