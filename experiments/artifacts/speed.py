"""Encoding and decoding speed of a tokenizer (Table 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.config import Precision
from sftok.metrics.quantity import Quantity

if TYPE_CHECKING:
    import torch
    from torch import Tensor

QUANTITIES = (
    Quantity(
        name="parameters",
        label="Parameters",
        meaning="trained weights of everything that encoding and decoding need",
    ),
    Quantity(
        name="encoding_rate",
        label="Encoding",
        direction=1,
        unit="images/s",
        meaning="images encoded to ids in a second: the median of a few batches on the machine of the run",
    ),
    Quantity(
        name="decoding_rate",
        label="Decoding",
        direction=1,
        unit="images/s",
        meaning="images decoded from ids in a second: the median of a few batches on the machine of the run",
    ),
)


class Speed(Artifact, kind="speed"):
    """Size and images per second; no artifact depends on it, and its numbers vary between runs.

    The rows of a run are measured sequentially in one process, unless several workers share a machine. All of
    them compute in float32, as most do in an evaluation.
    """

    tokenizer: TokenizerArtifact
    decoding: DecodingConfig | None
    split: str
    batch_size: int = 64
    precision: Precision

    @classmethod
    def plan(
        cls,
        recipe: Recipe,
        data: Mapping[str, str],
        label: str,
        tokenizer: TokenizerArtifact,
        decoding: DecodingConfig | None,
    ) -> Speed:
        """The speed of `tokenizer` on images of the evaluation's split."""
        split = recipe.evaluation.split
        return cls.planned(
            recipe,
            data,
            label,
            split,
            tokenizer=tokenizer,
            decoding=decoding,
            split=split,
            precision="fp32",
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Encode and decode one batch several times."""
        import torch

        images = context.load_data(self.split)
        device = context.open_device(self)
        batch = images.images(torch.arange(min(self.batch_size, len(images)))).to(device) / 255
        return {
            "rows": list(self._rows(context, batch, device)),
            "metrics": {quantity.name: quantity.model_dump() for quantity in QUANTITIES},
        }

    def _rows(self, context: Context, batch: Tensor, device: torch.device) -> Iterator[dict[str, Any]]:
        from sftok.evaluation.protocol import row
        from sftok.evaluation.speed import images_per_second
        from sftok.randomness import generator

        count, subject = len(batch), self.tokenizer.subject
        tokenizer = self.tokenizer.open(context).to(device).eval()
        decode = self.tokenizer.open_decoder(context, self.decoding, self.precision, device)
        ids = tokenizer.encode(batch)
        parameters = sum(weight.numel() for weight in tokenizer.parameters())
        yield row(subject, "parameters", "", float(parameters), count)
        noise = generator(0, "speed", device=device)
        encoding = images_per_second(lambda: tokenizer.encode(batch), count, device)
        yield row(subject, "encoding_rate", "", encoding, count)
        context.report(0.5)
        steps = {} if self.decoding is None else {"steps": self.decoding.steps}
        decoding = images_per_second(lambda: decode(ids, noise), count, device)
        yield row(subject, "decoding_rate", "", decoding, count, **steps)
