"""Views of a training image: random crops and horizontal flips.

As in the authors' release, the short side is resized to the image size, a random square is cropped, and half
of the images are mirrored. A view is a pure function of its seed, its number and the index of the image; it
does not depend on the batch, the worker or the seed of the run. The teacher's codes of a view can therefore
be computed once and cached.
"""

from __future__ import annotations

import hashlib

from pydantic import Field, model_validator
from torch import Tensor

from sftok.config import Config
from sftok.data.transforms import Crop


class AugmentationConfig(Config):
    """The views of the training images; the default has only one, the center crop."""

    random_crop: bool = False
    """Crop a random square of the image instead of the central one."""
    flip: bool = False
    """Mirror an image with probability 1/2."""
    views: int | None = Field(default=None, ge=1)
    """Number of views of an image, shown in turn, one per epoch; None shows a new one in every epoch."""
    seed: int = 0
    """Seed of the views, not of a run: runs with different seeds share the codes of the views."""

    @model_validator(mode="after")
    def _differ(self) -> AugmentationConfig:
        if self.views is not None and self.views > 1 and not self.active:
            raise ValueError(
                f"views = {self.views}, but all would be the same: set random_crop or flip, or unset views"
            )
        return self

    @property
    def active(self) -> bool:
        """Whether there are views other than the center crop."""
        return self.random_crop or self.flip

    def view_of(self, epoch: int) -> int:
        """Return the number of the view shown in `epoch` (from 0)."""
        return epoch if self.views is None else epoch % self.views

    def crops(self, indices: Tensor, view: int) -> list[Crop]:
        """Return the crop of each image of `indices` (int64 [n]) in view `view`."""
        return [self._crop(index, view) for index in indices.tolist()]

    def _crop(self, index: int, view: int) -> Crop:
        text = f"sftok view: seed {self.seed}, view {view}, image {index}"
        digest = hashlib.sha256(text.encode()).digest()
        # A float holds 48 bits exactly, so the fractions stay below 1.
        across, down = (int.from_bytes(digest[place : place + 6], "big") / 2**48 for place in (0, 6))
        return Crop(
            across=across if self.random_crop else None,
            down=down if self.random_crop else None,
            mirrored=self.flip and digest[12] % 2 == 1,
        )
