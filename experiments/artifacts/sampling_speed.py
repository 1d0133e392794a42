"""Sampling speed and size of a generator (Table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.generator import load_generator
from experiments.artifacts.guidance import Guidance
from experiments.recipe import Recipe
from experiments.store import RESULT, read_json
from sftok.evaluation.config import Precision
from sftok.metrics.quantity import Quantity

SAMPLING = (
    Quantity(
        name="generator_parameters",
        label="Generator's parameters",
        meaning="weights of the generator, without those of the tokenizer",
    ),
    Quantity(
        name="sampling_steps",
        label="Sampling steps",
        meaning="passes of the generator that a sample takes one after the other, guidance not counted",
    ),
    Quantity(
        name="sampling_rate",
        label="Sampling",
        direction=1,
        unit="images/s",
        meaning="images sampled and decoded in a second under the chosen guidance: the median of a few "
        "batches on the machine of the run",
    ),
)


class SamplingSpeed(Artifact, kind="sampling_speed"):
    """Size, steps and images per second; no artifact depends on it, and its numbers vary between runs."""

    batch_size: int = 64
    precision: Precision
    guidance: Guidance

    @classmethod
    def plan(cls, recipe: Recipe, data: Mapping[str, str], label: str, guidance: Guidance) -> SamplingSpeed:
        """The speed of the generator of `guidance`."""
        precision = recipe.evaluation.precision
        return cls.planned(recipe, data, label, precision=precision, guidance=guidance)

    def make(self, context: Context) -> dict[str, Any]:
        """Sample and decode one batch several times."""
        import torch

        from sftok.decoding.guidance import GenerationConfig
        from sftok.evaluation.generation import balanced_labels
        from sftok.evaluation.protocol import row
        from sftok.evaluation.speed import images_per_second
        from sftok.randomness import generator

        choice, device = self.guidance, context.open_device(self)
        found = (read_json(context.folder_of(choice) / RESULT) or {})["chosen"]
        sampling = GenerationConfig.model_validate(found)
        model = load_generator(context, choice.generator).to(device)
        decode = choice.source.open_decoder(context, choice.decoding, self.precision, device)
        labels = balanced_labels(torch.arange(self.batch_size), model.num_classes).to(device)
        noise = generator(0, "speed", device=device)

        def sample() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                tokens = model.sample(labels, sampling, noise)
            decode(tokens, noise)

        values = {
            "generator_parameters": float(sum(weight.numel() for weight in model.parameters())),
            "sampling_steps": float(model.sampling_steps(sampling)),
            "sampling_rate": images_per_second(sample, len(labels), device, repeats=3),
        }
        return {
            "rows": [row("generation", name, "", value, len(labels)) for name, value in values.items()],
            "metrics": {quantity.name: quantity.model_dump() for quantity in SAMPLING},
        }
