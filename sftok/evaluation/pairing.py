"""Checks from the pixels whether reconstructions are paired with the right originals."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.subjects.base import SubjectError

COMPARED = 1024
"""Number of images compared with each other; all of them are read before anything is measured."""
SIDE = 8
"""Side of the thumbnails that are compared."""
NEARER = 4.0
"""An image is suspected if another original is nearer by this factor (squared distance)."""

log = logging.getLogger(__name__)


def check_pairs(location: str, originals: ImageSet, given: ImageSet, places: Tensor) -> None:
    """Reject images that have been exchanged; warn if they resemble their originals no more than others.

    Images are exchanged if each is far nearer to the original of another of them than to its own.

    Args:
        location: where the images are, for the message.
        originals: the originals of the reconstructions.
        given: the images.
        places: int64 `[originals]`, the place in `given` of each original's image.

    Raises:
        SubjectError: images have been exchanged; the message names two of them.
    """
    chosen = torch.arange(min(COMPARED, len(originals)))
    distances = torch.cdist(_thumbnails(given, places[chosen]), _thumbnails(originals, chosen)).square()
    own = distances.diagonal()
    nearest = distances.argmin(1)
    suspects = (distances.amin(1) * NEARER < own).nonzero().flatten()
    moved = set(suspects.tolist())
    exchanged = sorted(place for place in moved if nearest[place].item() in moved)
    targets = {int(nearest[place]) for place in exchanged}
    if exchanged and targets == set(exchanged):
        one = exchanged[0]
        raise SubjectError(
            f"{location}: {len(exchanged)} images are paired with the wrong originals: "
            f"{_name(given, int(places[one]))} looks like {_name(originals, int(nearest[one]))}, not like "
            f"{_name(originals, one)}; check names and order (--pair name or order)"
        )
    others = distances.median(1).values
    if len(chosen) > 2 and (own >= others).float().mean() > 0.4:
        log.warning(
            "%s: the images resemble their originals no more than any others; are they paired correctly?",
            location,
        )


def _thumbnails(image_set: ImageSet, places: Tensor) -> Tensor:
    parts = [
        nn.functional.adaptive_avg_pool2d(to_unit_range(image_set.images(part)), SIDE).flatten(1)
        for part in places.split(128)
    ]
    return torch.cat(parts)


def _name(image_set: ImageSet, place: int) -> str:
    return image_set.names[place] if image_set.names else f"image {place}"
