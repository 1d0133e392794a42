"""Results for single images: a table of values, and the best and worst images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.evaluation.passes import Album


@dataclass
class Gallery:
    """Values and images of several decodings; see `sftok.evaluation.protocol.Evaluation`."""

    image_set: ImageSet
    images: dict[str, np.ndarray]
    extremes: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, image_set: ImageSet, ids: Tensor | None) -> Self:
        """Create a gallery with the names, labels and ids of all images."""
        everything = torch.arange(len(image_set))
        names = image_set.names or tuple(f"{place:06d}" for place in range(len(image_set)))
        labels = np.array(image_set.class_names)[image_set.labels(everything).numpy()]
        found = {"name": np.array(names), "label": labels}
        if ids is not None and not ids.is_floating_point():  # latents would be larger than the images
            found["ids"] = ids.cpu().numpy()
        return cls(image_set, found)

    def add(self, decoding: str, album: Album, values: Mapping[str, Tensor]) -> None:
        """Add the values of each image, and the best and worst images, under one decoding."""
        self.images |= {f"{decoding}.{name}": each.numpy() for name, each in values.items()}
        for name, places in (("best", album.best()), ("worst", album.worst())):
            if places:
                chosen = torch.tensor(places)
                self.extremes |= {
                    f"{decoding}.{name}": torch.stack([album.pixels[place] for place in places]).numpy(),
                    f"{decoding}.{name}.original": self.image_set.images(chosen).numpy(),
                    f"{decoding}.{name}.places": chosen.numpy(),
                }
