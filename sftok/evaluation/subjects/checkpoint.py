"""A checkpoint that this package reads: a file, a folder, a hub id, or `random:NAME`."""

from __future__ import annotations

from sftok.evaluation.subjects.base import Opened, Subject, SubjectConfig


class CheckpointConfig(SubjectConfig, name="checkpoint"):
    """A tokenizer of `sftok.tokenizers.hub`."""

    location: str
    seed: int = 0
    """Seed of random weights."""
    teacher: str | None = None
    """A MaskGIT-VQGAN for a checkpoint without a pixel decoder."""

    @property
    def label(self) -> str:
        """The location."""
        return self.location

    def open(self) -> Opened:
        """Open the tokenizer.

        Raises:
            CheckpointError: the checkpoint cannot be found, read or trusted.
        """
        # Imported here because planning needs no networks.
        from sftok.tokenizers import hub
        from sftok.tokenizers.sftok import SFTok

        tokenizer = hub.open_tokenizer(self.location, self.seed, self.teacher)
        decoding = tokenizer.decoding.model_dump(exclude={"steps"}) if isinstance(tokenizer, SFTok) else {}
        subject = Subject(measured=tokenizer, identity=hub.identity(tokenizer))
        return Opened(image_size=tokenizer.image_size, decoding=decoding, on=lambda images: subject)
