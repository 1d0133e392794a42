"""Planning of generation (Table 2): ids of the training images, a generator of them, its evaluation.

```
tokenizer (or teacher) -> ids of the training images -> generator -> choice of the guidance -> evaluation
                                                                     on training images        on the split
```
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.nodes import dump, node
from experiments.recipe import Recipe
from experiments.spec import Experiment
from sftok.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class TokenSource:
    """What gives a generator its ids and turns them back into images."""

    model: Mapping[str, Artifact]
    """The trained model under its role, `tokenizer` or `teacher`."""
    tokens: Artifact
    """The ids of the training images."""
    num_tokens: int
    vocabulary: int
    decoding: Mapping[str, Any]
    """How ids are decoded; empty for the teacher, which has no choice."""


def splits_read(experiments: Iterable[Experiment], recipe: Recipe) -> set[str]:
    """The splits that the generation rows of `experiments` read beside those of all rows."""
    rows = [row for experiment in experiments for row in experiment.trained_rows]
    return {recipe.generation.choice_split} if any(row.measures == "generation" for row in rows) else set()


def tokenizer_source(
    recipe: Recipe, tokenizer: Artifact, fingerprints: Mapping[str, str], label: str
) -> TokenSource:
    """A trained tokenizer.

    Raises:
        ConfigError: it is to be decoded from a part of its tokens.
    """
    if recipe.evaluation.kept_share < 1:
        raise ConfigError(
            f"{label}: images are generated from all tokens; leave evaluation.kept_share at 1 in its row"
        )
    tokens = node(
        recipe,
        "tokens",
        config={},
        inputs={"tokenizer": tokenizer},
        data={"train": fingerprints["train"]},
        label=f"tokens of {label}",
    )
    return TokenSource(
        model={"tokenizer": tokenizer},
        tokens=tokens,
        num_tokens=recipe.tokenizer.num_latent_tokens,
        vocabulary=recipe.tokenizer.codebook_size,
        decoding={
            "steps": 1 if recipe.single_step else recipe.generation.decoding_steps,
            "temperature": recipe.evaluation.temperature,
            "schedule": recipe.evaluation.schedule,
            "final_lookup": recipe.evaluation.final_lookup,
        },
    )


def teacher_source(recipe: Recipe, teacher: Artifact, codes: Artifact) -> TokenSource:
    """The 2D teacher, whose ids are its codes: those that the tokenizers are trained on."""
    config = recipe.teacher_config()
    return TokenSource(
        model={"teacher": teacher},
        tokens=codes,
        num_tokens=config.num_codes,
        vocabulary=config.codebook_size,
        decoding={},
    )


def plan_generator(
    recipe: Recipe, seed: int, source: TokenSource, fingerprints: Mapping[str, str], label: str
) -> Artifact:
    """The generator of a source's ids."""
    own = recipe.generator
    return node(
        recipe,
        "generator",
        config={
            "model": own.shape(source.num_tokens, source.vocabulary),
            "loss": dump(own.loss),
            "training": dump(own.training),
            "steps": own.steps,
            "seed": seed,
        },
        inputs={"tokens": source.tokens},
        data={"train": fingerprints["train"]},
        label=f"generator of {label}, seed {seed}",
        steps=own.steps,
    )


def plan_generation(
    recipe: Recipe,
    seed: int,
    source: TokenSource,
    generator: Artifact,
    classifier: Mapping[str, Artifact],
    fingerprints: Mapping[str, str],
    label: str,
) -> Artifact:
    """The measurement of a generator on the evaluation's split, under a guidance that is chosen elsewhere.

    Args:
        recipe: of the row.
        seed: of the row.
        source: decodes the ids.
        generator: what is measured.
        classifier: the in-domain classifier as `classifier`, if a feature space needs it.
        fingerprints: of the data by split.
        label: of the row.
    """
    generation, evaluation = recipe.generation, recipe.evaluation
    primary = evaluation.primary
    shared = {
        "sampling": {"steps": generation.steps, "mask_schedule": generation.mask_schedule},
        "decoding": dict(source.decoding),
    }
    common = dump(evaluation, include={"batch_size", "precision", "seed"})
    split = generation.choice_split
    guidance = node(
        recipe,
        "guidance",
        config=shared
        | {
            "grid": dump(generation.grid),
            "protocol": common
            | {"split": split, "extractors": [dump(primary)], "num_images": generation.choice_images},
        },
        inputs={
            **(classifier if primary.name == "classifier" else {}),
            **source.model,
            "generator": generator,
        },
        data={split: fingerprints[split]},
        label=f"guidance of {label}, seed {seed}",
    )
    return node(
        recipe,
        "generation",
        config=shared
        | {
            "protocol": common
            | dump(evaluation, include={"split", "extractors"})
            | dump(generation, include={"extra_metrics", "example_classes", "examples_per_class"})
        },
        inputs={**classifier, **source.model, "generator": generator, "guidance": guidance},
        data={evaluation.split: fingerprints[evaluation.split]},
        label=f"generation by {label}, seed {seed}",
    )
