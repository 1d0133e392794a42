"""The results of a calibration for one feature space, as data. Importing this module does not load torch."""

from __future__ import annotations

from pydantic import Field, field_validator

from sftok.config import Config

LABELS = {
    "random_codes": ("Random codes", "share of the codes"),
    "nearest_codes": ("Nearest other codes", "share of the codes"),
    "same_class": ("Codes of another image of the class", "share of the codes"),
    "other_class": ("Codes of another class", "share of the codes"),
    "blur": ("Blur", "deviation, in image sides"),
    "jpeg": ("JPEG", "100 minus quality"),
    "noise": ("Noise", "standard deviation"),
    "shift": ("Shift", "image sides"),
    "contrast": ("Less contrast", "share taken away"),
}
"""Labels of the distortions, and units of their strengths."""


class Mean(Config):
    """A mean over draws with its 95 % Student t interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


class CalibrationConfig(Config):
    """How many distorted images are compared, and how often."""

    images: int = Field(default=2500, ge=8)
    """Maximum number of images of the split, balanced over classes."""
    draws: int = Field(default=5, ge=2)
    """Number of disjoint parts of the images; each is distorted by its own draws and measured separately."""
    further_seeds: int = Field(default=2, ge=0)
    """Number of additional seeds trained for each network that is trained on the data, for comparison."""
    batch_size: int = Field(default=250, ge=1)
    """Images distorted together; random draws depend on it."""
    seed: int = Field(default=0, ge=0)


class SpaceReport(Config):
    """How well FID in one feature space follows the known order of the images."""

    space: str
    rho: dict[str, Mean]
    """Spearman's correlation of FID with the strength of each distortion, over draws."""
    right: dict[str, dict[int, float]]
    """By distortion and number of images: the share of neighboring strengths that FID puts in order."""
    wrong_over_blurred: dict[str, Mean]
    """log2 of FID of sharp images with wrong codes over that of blurred ones, at equal squared error."""
    seed_agreement: float | None = None
    """The smallest Spearman correlation, over all distorted sets, of FID in any two networks that differ only
    in their seed. None for a network that is not trained here."""
    seed_movement: float | None = None
    """How much such a seed changes FID apart from its overall scale: the standard deviation of log FID."""
    sides_of_seeds: dict[str, list[float]] = {}
    """`wrong_over_blurred` of each seed, over all images."""

    @field_validator("rho")
    @classmethod
    def _are_correlations(cls, rho: dict[str, Mean]) -> dict[str, Mean]:
        # Student's t interval may exceed the bounds of a correlation.
        return {
            name: Mean(mean=each.mean, low=max(each.low, -1.0), high=min(each.high, 1.0))
            for name, each in rho.items()
        }

    def images_needed(self, distortion: str, share: float = 0.95) -> int | None:
        """The fewest images that distinguish neighboring strengths; None if even the most do not.

        Args:
            distortion: a key of `right`.
            share: the share of the comparisons that must be in the right order.
        """
        told = [images for images, right in sorted(self.right[distortion].items()) if right >= share]
        return told[0] if told else None
