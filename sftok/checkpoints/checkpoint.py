"""A model as read from disk: its architecture, configuration and tensors, under this package's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

SFTOK = "sftok"
TITOK = "titok"
MASKGIT_VQGAN = "maskgit-vqgan"
MASKGIT_GENERATOR = "maskgit-generator"
LLAMAGEN_GENERATOR = "llamagen-generator"
OPEN_MAGVIT2_GENERATOR = "open-magvit2-generator"
PIXEL_TOKENIZER = "pixel-tokenizer"

PIXEL_DECODER = "pixel_decoder."
TEACHER_FILE = "maskgit-vqgan-imagenet-f16-256.bin"


class CheckpointError(ValueError):
    """A checkpoint cannot be found, read, trusted or used; the message gives it, the cause and the remedy."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model on disk.

    Attributes:
        source: where it came from, for messages.
        architecture: the architecture of the model, such as `SFTOK`.
        record: the values of the model's `record_type`, not yet validated.
        tensors: float32, by the names in the model's state dict.
    """

    source: str
    architecture: str
    record: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def lacks_pixel_decoder(self) -> bool:
        """Whether this is an SFTok of stage 1 or 2 as released, which ends at the teacher's codes."""
        return self.architecture == SFTOK and not any(map(_is_pixels, self.tensors))

    def check_complete(self) -> None:
        """Raise an error for an SFTok without a pixel decoder.

        Raises:
            CheckpointError: the message says which file is missing and how to supply it.
        """
        if self.lacks_pixel_decoder:
            raise CheckpointError(
                f"{self.source}: an SFTok of stage 1 or 2, which holds no pixel decoder; give the teacher's "
                f"file too, {TEACHER_FILE}: from_pretrained(..., teacher=FILE), or --teacher FILE"
            )

    def completed_by(self, teacher: Checkpoint) -> Checkpoint:
        """Return this checkpoint with the teacher's pixel decoder added.

        Raises:
            CheckpointError: this checkpoint has a pixel decoder, or `teacher` is not a MaskGIT-VQGAN.
        """
        if not self.lacks_pixel_decoder:
            raise CheckpointError(f"{self.source}: is complete without a teacher's file; leave it out")
        if teacher.architecture != MASKGIT_VQGAN:
            raise CheckpointError(
                f"{teacher.source}: given as the teacher, but is a {teacher.architecture!r}"
            )
        pixels = {name: tensor for name, tensor in teacher.tensors.items() if _is_pixels(name)}
        # The teacher is convolutional, so its weights fit any image size; the tokenizer's size is used.
        record = {**self.record, "pixel_decoder": teacher.record.get("backbone")}
        return replace(self, record=record, tensors={**self.tensors, **pixels})

    def check_fit(self, expected: Mapping[str, Tensor]) -> None:
        """Check names, shapes and types, but not values, against the state dict of the model built for it.

        Raises:
            CheckpointError: the message names missing or unexpected tensors and those of another shape or
                type.
        """
        problems = [
            *_listing("missing", [name for name in expected if name not in self.tensors]),
            *_listing("unexpected", [name for name in self.tensors if name not in expected]),
            *_listing(
                "of another shape",
                [
                    f"{name} {tuple(tensor.shape)} for {tuple(expected[name].shape)}"
                    for name, tensor in self.tensors.items()
                    if name in expected and tensor.shape != expected[name].shape
                ],
            ),
        ]
        problems += _listing(
            "of another type",
            [
                f"{name} {str(tensor.dtype).removeprefix('torch.')} for "
                f"{str(expected[name].dtype).removeprefix('torch.')}"
                for name, tensor in self.tensors.items()
                if name in expected and tensor.dtype != expected[name].dtype
            ],
        )
        if problems:
            raise CheckpointError(
                f"{self.source}: does not fit its {self.architecture!r}: {'; '.join(problems)}"
            )


def _is_pixels(name: str) -> bool:
    return name.startswith(PIXEL_DECODER)


def _listing(what: str, names: list[str], shown: int = 3) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return [f"{what}: {', '.join(names[:shown])}{more}"]
