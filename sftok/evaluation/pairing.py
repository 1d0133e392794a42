"""Whether reconstructions belong to the originals that they are paired with: found by looking at them."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.subjects.base import SubjectError

COMPARED = 1024
"""Images that are compared with each other; all of these are read before anything is measured."""
SIDE = 8
"""Of the thumbnails that are compared."""
NEARER = 4.0
"""By how much nearer (squared) an image must be to another original to be suspected."""

log = logging.getLogger(__name__)


def check_pairs(location: str, originals: ImageSet, given: ImageSet, places: Tensor) -> None:
    """Refuse images that have been exchanged; warn if they resemble their originals no more than others.

    Images are exchanged if each is far nearer to the original of another of them than to its own.

    Args:
        location: of the images, for the message.
        originals: what they reconstruct.
        given: the images.
        places: int64 `[originals]`, the place in `given` of the image of each original.

    Raises:
        SubjectError: names two that have been exchanged.
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
