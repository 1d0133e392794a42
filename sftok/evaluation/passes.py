"""One pass of an evaluation: reconstructs every image once, measures it, and keeps the extremes.

A pass is divided into parts of some thousand images. The inputs of metrics for a finished part (values per
image, features, codes, bits) are kept in a file until the evaluation ends, so a killed evaluation resumes
with the next part and produces the same numbers, bit for bit. No images are kept except the best and the
worst.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sftok.io.weights import DamagedFileError, load_tensors, save_tensors
from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Features, Measured, Metric

PART_IMAGES = 2000
"""Minimum number of images in a part."""

PART = "part-"
"""Prefix of the files of parts."""

EXTREMES = 24
"""Number of best and of worst images that are kept."""

JUDGED_BY = {"lpips": -1, "psnr": 1}
"""Values per image that rank images, with their directions; the first one that is measured is used."""

log = logging.getLogger(__name__)


class Parts:
    """Files of finished parts in a folder; without a folder, nothing is stored."""

    def __init__(self, folder: Path | None, batch_size: int, images: int) -> None:
        """Divide `images` into parts of whole batches."""
        self.folder = folder
        size = -(-PART_IMAGES // batch_size) * batch_size if folder is not None else images
        self.places = [range(start, min(start + size, images)) for start in range(0, images, size)]

    def read(self, name: str, places: range) -> dict[str, Tensor] | None:
        """Read the stored tensors of a part, if any; a damaged file is logged."""
        path = self._path(name, places)
        if path is None or not path.exists():
            return None
        try:
            return load_tensors(path)[0]
        except DamagedFileError as error:
            log.warning("%s; measuring this part again", error)
            return None

    def write(self, name: str, places: range, tensors: Mapping[str, Tensor]) -> None:
        """Store the tensors of a part."""
        if (path := self._path(name, places)) is not None:
            save_tensors(path, tensors)

    def clear(self) -> None:
        """Delete all files after the evaluation has ended."""
        if self.folder is not None:
            for path in self.folder.glob(f"{PART}*"):
                path.unlink()

    def _path(self, name: str, places: range) -> Path | None:
        return None if self.folder is None else self.folder / f"{PART}{name}-{places.start}.safetensors"


def can_resume(metrics: Iterable[Metric]) -> bool:
    """Whether `metrics` can resume without images: ours read only values, features, codes and bits."""
    return not any(metric.reads_pixels for metric in metrics)


@dataclass(frozen=True)
class Reconstructed:
    """A reconstructed batch.

    Attributes:
        indices: int64 `[B]`.
        pixels: uint8 `[B, 3, H, W]`.
        measured: the inputs of metrics, with the values per image.
    """

    indices: Tensor
    pixels: Tensor
    measured: Measured


@dataclass
class Album:
    """The images that are kept: some places always, and the best and the worst seen so far.

    Attributes:
        always: places that are always kept.
        pixels: uint8 `[3, H, W]` by place.
        scores: quality by place, higher is better; NaN if nothing was measured.
    """

    always: frozenset[int]
    pixels: dict[int, Tensor] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)

    def add(self, indices: Tensor, pixels: Tensor, values: Mapping[str, Tensor]) -> None:
        """Consider a batch, given its values per image."""
        judge = next((name for name in JUDGED_BY if name in values), None)
        scores = torch.full((len(indices),), torch.nan) if judge is None else JUDGED_BY[judge] * values[judge]
        self._keep(
            dict(zip(indices.tolist(), scores.tolist(), strict=True)),
            dict(zip(indices.tolist(), pixels, strict=True)),
        )

    def merge(self, other: Album) -> None:
        """Consider the images kept by `other`."""
        self._keep(other.scores, other.pixels)

    def _keep(self, scores: Mapping[int, float], pixels: Mapping[int, Tensor]) -> None:
        self.scores |= scores
        kept = {*self.best(), *self.worst(), *(self.always & self.scores.keys())}
        self.pixels = {
            place: self.pixels[place] if place in self.pixels else pixels[place].cpu().clone()
            for place in kept
        }
        self.scores = {place: self.scores[place] for place in kept}

    def best(self) -> list[int]:
        """Return the places of the best images, best first."""
        return self._ranked()[::-1][:EXTREMES]

    def worst(self) -> list[int]:
        """Return the places of the worst images, worst first."""
        return self._ranked()[:EXTREMES]

    def _ranked(self) -> list[int]:
        judged = [(score, place) for place, score in self.scores.items() if score == score]
        return [place for _, place in sorted(judged)]

    def tensors(self) -> dict[str, Tensor]:
        """Return tensors to be stored; see `from_tensors`."""
        places = sorted(self.pixels)
        if not places:
            return {}
        return {
            "album.places": torch.tensor(places),
            "album.pixels": torch.stack([self.pixels[place] for place in places]),
            "album.scores": torch.tensor([self.scores[place] for place in places], dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], always: frozenset[int]) -> Album:
        """Restore an album from the output of `tensors`."""
        if "album.places" not in tensors:
            return cls(always)
        places = tensors["album.places"].tolist()
        pixels = dict(zip(places, tensors["album.pixels"], strict=True))
        return cls(always, pixels, dict(zip(places, tensors["album.scores"].tolist(), strict=True)))


def values_of(metrics: Iterable[Metric], measured: Measured) -> dict[str, Tensor]:
    """Values per image of all metrics that are means over images, float64 `[B]` on the CPU."""
    return {
        metric.key: metric.per_image(measured).double().cpu()
        for metric in metrics
        if isinstance(metric, MeanOverImages)
    }


def flattened(measured: Measured) -> dict[str, Tensor]:
    """Flatten the inputs of metrics other than images and ids to tensors by name."""
    found = {f"values.{name}": each for name, each in measured.values.items()}
    for label, features in measured.features.items():
        found[f"features.{label}"] = features.features
        if features.logits is not None:
            found[f"logits.{label}"] = features.logits
    for name in ("codes", "bits"):
        if (given := getattr(measured, name)) is not None:
            found[name] = given.cpu()
    return found


def unflattened(tensors: Mapping[str, Tensor], **given: Any) -> Measured:
    """Invert `flattened`, adding the fields in `given`."""

    def named(kind: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(f"{kind}."): each
            for name, each in tensors.items()
            if name.startswith(f"{kind}.")
        }

    logits = named("logits")
    return Measured(
        values=named("values"),
        features={label: Features(each, logits.get(label)) for label, each in named("features").items()},
        codes=tensors.get("codes"),
        bits=tensors.get("bits"),
        **given,
    )


def in_batches(tensors: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Split the tensors of a part into batches."""
    split = {name: each.split(batch_size) for name, each in tensors.items()}
    for number in range(max(map(len, split.values()), default=0)):
        yield {name: each[number] for name, each in split.items()}


def joined(batches: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate the tensors of batches."""
    return {name: torch.cat([batch[name] for batch in batches]) for name in (batches[0] if batches else ())}
