"""Pillow's image codecs as baselines: JPEG, WebP and AVIF over a range of qualities."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import Literal

import numpy as np
import PIL
import torch
from PIL import Image, features
from pydantic import Field, field_validator
from torch import Tensor

from sftok.data.batches import Batch, to_unit_range
from sftok.evaluation.config import EvaluationConfig, refuse_repeats
from sftok.evaluation.subjects.base import Opened, Subject, SubjectConfig, SubjectError
from sftok.evaluation.tokenizers import Decoded, Decoding, Reconstructor

QUALITIES = (1, 5, 10, 25, 50, 75, 90)

LIBRARIES = {"jpeg": "libjpeg_turbo", "webp": "webp", "avif": "avif"}
"""Pillow's name for the library of a codec."""


class CodecConfig(SubjectConfig, name="codec"):
    """A codec at a range of qualities."""

    codec: Literal["jpeg", "webp", "avif"]
    qualities: tuple[int, ...] = Field(default=QUALITIES, min_length=1)

    @field_validator("qualities")
    @classmethod
    def _are_distinct(cls, qualities: tuple[int, ...]) -> tuple[int, ...]:
        refuse_repeats("qualities", qualities)
        return qualities

    @property
    def label(self) -> str:
        """`codec:jpeg`."""
        return f"codec:{self.codec}"

    def open(self) -> Opened:
        """Open the codec.

        Raises:
            SubjectError: Pillow was built without it, or a quality is out of range.
        """
        if wrong := [quality for quality in self.qualities if not 0 <= quality <= 100]:
            raise SubjectError(f"{self.label}: quality {wrong[0]}; it must be from 0 to 100")
        if self.codec != "jpeg" and not features.check(self.codec):
            raise SubjectError(f"{self.label}: this Pillow {PIL.__version__} was built without {self.codec}")
        library = features.version(LIBRARIES[self.codec])
        content = repr((self.codec, self.qualities, PIL.__version__, library))
        subject = Subject(measured=Codec(self), identity=hashlib.sha256(content.encode()).hexdigest())
        return Opened(image_size=None, on=lambda images: subject)


class Codec(Reconstructor):
    """Encodes images to files and decodes them at each quality; bits include the file headers."""

    def __init__(self, config: CodecConfig) -> None:
        self.config = config

    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """Return one decoding for each quality."""

        def decode(quality: int, batch: Batch, ids: Tensor | None) -> Decoded:
            pixels = (batch.images.cpu() * 255).round().byte().permute(0, 2, 3, 1).numpy()
            made = [self._through(image, quality) for image in pixels]
            images = torch.from_numpy(np.stack([image for image, _ in made])).permute(0, 3, 1, 2)
            bits = torch.tensor([size for _, size in made], dtype=torch.float64)
            return Decoded(images=to_unit_range(images.contiguous()).to(batch.images.device), bits=bits)

        return [
            Decoding(
                name=f"Q{quality}",
                coordinates={"quality": quality},
                passes=1,
                gives_bits=True,
                decode=partial(decode, quality),
            )
            for quality in self.config.qualities
        ]

    def _through(self, image: np.ndarray, quality: int) -> tuple[np.ndarray, int]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, self.config.codec.upper(), quality=quality)
        size = 8 * file.tell()
        with Image.open(file) as decoded:
            return np.array(decoded.convert("RGB")), size
