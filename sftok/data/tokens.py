"""Token ids of a whole image set: computed once and read as memory maps, or computed on the fly.

The same mechanism serves any frozen encoder: the teacher's codes, on which a tokenizer is trained, and a
tokenizer's ids, on which a generator is trained. For a continuous tokenizer, float32 latents take the place
of ids. With an augmentation of `views` views, the ids of each view are stored.

A cache is a folder of safetensors files, each with the ids of `images_per_file` images in one view, and
`tokens.json`, which is written last. Each file has a checksum and is written atomically, so an interrupted
run resumes with the first missing file. ImageNet takes 0.66 GB per view (256 ids of 16 bits).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sftok.config import Config, ConfigError
from sftok.data.augmentation import AugmentationConfig
from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.device import to_device
from sftok.io.unfinished import write_text
from sftok.io.weights import DamagedFileError, load_tensors, save_tensors

logger = logging.getLogger(__name__)

DESCRIPTION = "tokens.json"
IMAGES_PER_FILE = 10_000


class TokenEncoder(Protocol):
    """A frozen teacher or tokenizer that maps images to ids."""

    @property
    def num_tokens(self) -> int:
        """Ids per image, K."""

    @property
    def codebook_size(self) -> int:
        """Number of distinct ids; 0 for latents."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to ids, int64 `[B, K]`, or to latents, float32 `[B, K, D]`."""


class TokensDescription(Config):
    """The content of a cache: `tokens.json`."""

    images: int = Field(ge=1)
    tokens: int = Field(ge=1)
    """Ids per image."""
    codebook_size: int = Field(ge=0)
    """Number of distinct ids; 0 for latents."""
    images_per_file: int = Field(ge=1)
    augmentation: AugmentationConfig
    content: str
    """SHA-256 of everything that the ids depend on, as far as the writer knew it."""


def write_tokens(
    encoder: TokenEncoder,
    image_set: ImageSet,
    folder: Path,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    augmentation: AugmentationConfig | None = None,
    content: str = "",
    images_per_file: int = IMAGES_PER_FILE,
    device: torch.device | str = "cpu",
) -> Path:
    """Encode every image of `image_set`, in order and in each of its views, to files in `folder`.

    Args:
        encoder: in evaluation mode; ids are stored in 16 bits if they fit.
        image_set: not empty.
        folder: the folder of the cache; files from an interrupted run are reused.
        batch_size: images encoded at once.
        on_progress: `on_progress(done, total)` counts images, once per view.
        augmentation: its `views` must be a number; None means the center crops.
        content: identifies the encoder, such as a hash of its weights.
        images_per_file: the most that an interruption may lose.
        device: the device of the encoder.

    Returns:
        `folder`.

    Raises:
        ConfigError: the augmentation shows a new view in every epoch.
        DamagedFileError: the folder holds the ids of other images, of another encoder, or of other views.
    """
    looks = augmentation or AugmentationConfig()
    views = _views(looks)
    source = _hash(content, encoder, image_set.fingerprint, looks)
    done, total = 0, views * len(image_set)
    for view in range(views):
        for places in _parts(len(image_set), images_per_file):
            path = _file(folder, view, places.start // images_per_file)
            if _kept(path, len(places), source) is None:
                parts: list[Tensor] = []
                for batch in ordered_batches(
                    image_set, batch_size, places=places, augmentation=looks, view=view
                ):
                    parts.append(_encoded(encoder, batch, device))
                    on_progress(done + sum(map(len, parts)), total)
                ids = _narrow(torch.cat(parts), encoder.codebook_size)
                save_tensors(path, {"ids": ids}, {"content": source})
            done += len(places)
            on_progress(done, total)
    record = TokensDescription(
        images=len(image_set),
        tokens=encoder.num_tokens,
        codebook_size=encoder.codebook_size,
        images_per_file=images_per_file,
        augmentation=looks,
        content=source,
    )
    write_text(folder / DESCRIPTION, json.dumps(record.model_dump(mode="json"), indent=1))
    return folder


class TokenCache:
    """Looks up the ids of a batch by the images' indices and views.

    A file is checked against its checksum when it is first used, and is a memory map from then on.
    """

    def __init__(
        self,
        folder: Path,
        num_images: int,
        num_tokens: int,
        augmentation: AugmentationConfig | None = None,
    ):
        """Open a cache that `write_tokens` wrote.

        Raises:
            DamagedFileError: the cache is incomplete, or belongs to other images, ids per image or views.
        """
        self.folder = folder
        self.description = _described(folder)
        found = self.description
        if (found.images, found.tokens) != (num_images, num_tokens):
            raise DamagedFileError(
                folder,
                f"holds {found.tokens} ids of {found.images} images; expected {num_tokens} of {num_images}",
            )
        expected = augmentation or AugmentationConfig()
        if found.augmentation != expected:
            raise DamagedFileError(
                folder, f"holds ids of the views {found.augmentation}; expected those of {expected}"
            )
        self._files: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """Return the ids `[B, K]` of `batch`, int64, or its latents `[B, K, D]`, on the device of its images.

        Raises:
            DamagedFileError: a file was truncated or altered.
            ValueError: the batch shows other views than those that were encoded.
        """
        indices = batch.indices.tolist()
        if (batch.views is None) is self.description.augmentation.active:
            shown = "the center crop" if batch.views is None else "augmented views"
            raise ValueError(f"{self.folder} was not computed from the images of the batch, {shown}")
        views = [0] * len(indices) if batch.views is None else batch.views.tolist()
        rows = [self._row(index, view) for index, view in zip(indices, views, strict=True)]
        kind = np.int64 if self.description.codebook_size else np.float32
        return to_device(torch.from_numpy(np.stack(rows).astype(kind)), batch.images.device)

    def spread(self, count: int) -> Tensor:
        """Return the ids or latents of `count` evenly spaced images, or of all if there are fewer.

        The first images of a folder may all be of one class.
        """
        images = self.description.images
        places = np.linspace(0, images - 1, min(count, images)).round().astype(int)
        return torch.from_numpy(np.stack([self._row(int(place), 0) for place in places]))

    def counts(self) -> Tensor:
        """Count the occurrences of each id in all views, int64 `[codebook_size]`."""
        total = np.zeros(self.description.codebook_size, dtype=np.int64)
        files = len(_parts(self.description.images, self.description.images_per_file))
        for view in range(_views(self.description.augmentation)):
            for number in range(files):
                total += np.bincount(self._ids(view, number).ravel(), minlength=len(total))
        return torch.from_numpy(total)

    def _row(self, index: int, view: int) -> np.ndarray:
        number, place = divmod(index, self.description.images_per_file)
        row: np.ndarray = self._ids(view, number)[place]
        return row

    def _ids(self, view: int, number: int) -> np.ndarray:
        if (view, number) not in self._files:
            path = _file(self.folder, view, number)
            places = _parts(self.description.images, self.description.images_per_file)[number]
            ids = _kept(path, len(places), self.description.content)
            if ids is None or ids.shape[1] != self.description.tokens:
                raise DamagedFileError(path, "missing or damaged", "delete its folder and run again")
            self._files[view, number] = ids.numpy()
        return self._files[view, number]


class TokensOnTheFly:
    """Computes the ids of a batch: for an endless number of views, or if there is no room for a cache."""

    def __init__(self, encoder: TokenEncoder):
        """Use `encoder`, which is frozen, in evaluation mode, and on the device of the batches."""
        self.encoder = encoder

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return the ids `[B, K]` of `batch`, int64."""
        # In full precision regardless of the training precision, as a cache would hold them.
        with torch.autocast(batch.images.device.type, enabled=False):
            return self.encoder.encode(batch.images)


def _views(augmentation: AugmentationConfig) -> int:
    if augmentation.active and augmentation.views is None:
        raise ConfigError(
            "augmentation.views is not set, so every epoch shows new views, whose ids cannot be cached; "
            "set it to a number, or compute the ids on the fly"
        )
    return augmentation.views or 1


def _hash(content: str, encoder: TokenEncoder, fingerprint: str, augmentation: AugmentationConfig) -> str:
    shape = [encoder.num_tokens, encoder.codebook_size]
    parts = [content, shape, fingerprint, augmentation.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _parts(images: int, images_per_file: int) -> list[range]:
    return [range(start, min(start + images_per_file, images)) for start in range(0, images, images_per_file)]


def _file(folder: Path, view: int, number: int) -> Path:
    return folder / f"tokens-{view:03}-{number:05}.safetensors"


@torch.no_grad()
def _encoded(encoder: TokenEncoder, batch: Batch, device: torch.device | str) -> Tensor:
    ids = encoder.encode(batch.images.to(device)).cpu()
    if encoder.codebook_size == 0:
        return ids
    if int(ids.min()) < 0 or int(ids.max()) >= encoder.codebook_size:
        raise ValueError(f"an id is not below the codebook size of {encoder.codebook_size}")
    return ids


def _narrow(ids: Tensor, codebook_size: int) -> Tensor:
    if codebook_size == 0:
        return ids
    return torch.from_numpy(ids.numpy().astype(np.uint16 if codebook_size <= 1 << 16 else np.int32))


def _kept(path: Path, images: int, content: str) -> Tensor | None:
    """Return the ids in `path` as a memory map if the file is complete and undamaged, otherwise None."""
    try:
        tensors, metadata = load_tensors(path)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        logger.warning("%s", error)
        return None
    if metadata.get("content") != content or len(tensors["ids"]) != images:
        raise DamagedFileError(
            path, "holds ids of other images, of another encoder, or of other views", "use another folder"
        )
    return tensors["ids"]


def _described(folder: Path) -> TokensDescription:
    path = folder / DESCRIPTION
    try:
        return TokensDescription.model_validate_json(path.read_text())
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DamagedFileError(
            path, f"not a complete cache of ids ({problem})", "delete its folder and run again"
        ) from None
