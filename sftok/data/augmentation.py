"""What changes with every look at a training image: a random crop and a horizontal flip.

As in the release: the short side is resized to the image size, a random square taken, and half of the images
mirrored. A view is a pure function of the view's seed, its number and the image's index: not of the batch,
of a worker or of the run's own seed. So the teacher's codes of a view can be computed once and kept.
"""

from __future__ import annotations

import hashlib

from pydantic import Field, model_validator
from torch import Tensor

from sftok.config import Config
from sftok.data.transforms import Crop


class AugmentationConfig(Config):
    """The views of the training images; by default there is but one, the centre crop."""

    random_crop: bool = False
    """A random square of the image, instead of the central one."""
    flip: bool = False
    """Mirror an image with probability 1/2."""
    views: int | None = Field(default=None, ge=1)
    """So many views of an image, seen in turn, one in each epoch; without it, another in every epoch."""
    seed: int = 0
    """Of the views, whatever the seed of a run: runs of several seeds share the codes of the views."""

    @model_validator(mode="after")
    def _differ(self) -> AugmentationConfig:
        if self.views is not None and self.views > 1 and not self.active:
            raise ValueError(
                f"views = {self.views}, which would all be the same: set random_crop or flip, or no views"
            )
        return self

    @property
    def active(self) -> bool:
        """Whether there is any view but the centre crop."""
        return self.random_crop or self.flip

    def view_of(self, epoch: int) -> int:
        """The number of the view that an epoch (from 0) shows."""
        return epoch if self.views is None else epoch % self.views

    def crops(self, indices: Tensor, view: int) -> list[Crop]:
        """The crop of each image of `indices` (int64 [n]) in view `view`."""
        return [self._crop(index, view) for index in indices.tolist()]

    def _crop(self, index: int, view: int) -> Crop:
        text = f"sftok view: seed {self.seed}, view {view}, image {index}"
        digest = hashlib.sha256(text.encode()).digest()
        # 48 bits, which a float holds exactly: the fractions are below 1.
        across, down = (int.from_bytes(digest[place : place + 6], "big") / 2**48 for place in (0, 6))
        return Crop(
            across=across if self.random_crop else None,
            down=down if self.random_crop else None,
            mirrored=self.flip and digest[12] % 2 == 1,
        )
