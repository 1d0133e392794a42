"""The published configuration (Table 6) next to a profile's values, which are read from its recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments.recipe import Recipe
from experiments.specs import Experiment, Setting
from sftok.components import Component
from sftok.config import Config, flat

NONE = "–"
"""Shown for a stage without the setting."""

GPUS = 8
"""GPUs of the paper's machine (Section 4.1); a recipe's batch size is the total over all of them."""

SIZES: dict[tuple[int, ...], str] = {(768, 12, 12): "base", (1024, 24, 16): "large"}
"""The paper's names for transformers, by width, depth and heads."""

STAGES = (1, 2, 3)


class SettingLine(Config):
    """One line of the published configuration, next to the profile's values."""

    category: str
    parameter: str
    published: tuple[str, ...]
    here: tuple[str, ...]
    agrees: bool | None
    """Whether both agree; None if there is nothing to compare."""
    note: str


def setting_lines(experiment: Experiment, recipe: Recipe) -> tuple[SettingLine, ...]:
    """The experiment's published settings, each with the value of `recipe`."""
    values = resolved(recipe)
    return tuple(_line(setting, values) for setting in experiment.settings)


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Every value of `recipe` by dotted key, and values derived from several of them."""
    return flat(recipe.model_dump(mode="json")) | _derived(recipe)


def _derived(recipe: Recipe) -> dict[str, Any]:
    backbone, stage3, side = recipe.teacher.backbone, recipe.stage3, recipe.data.image_size
    discriminator, perceptual = stage3.discriminator.reference, stage3.perceptual.reference
    names = {"dino": "dinodisc", "lpips-vgg": "lpips"}
    derived = {
        "derived.encoder_size": _size(recipe.tokenizer.encoder),
        "derived.decoder_size": _size(recipe.tokenizer.decoder),
        "derived.num_codes": backbone.num_codes(side),
        "derived.code_patch": side // backbone.code_grid(side),
        "derived.discriminator": names.get(discriminator, discriminator),
        "derived.perceptual": names.get(perceptual, perceptual),
        # Properties of each stage, in the terms of Table 6.
        "stage1.max_steps": recipe.warm_up_steps,
        "stage2.max_steps": recipe.alignment_steps,
        "stage3.max_steps": stage3.steps,
        "stage1.single_step": True,
        "stage2.single_step": False,
        "stage3.single_step": recipe.single_step,
        "stage1.guided": False,
        "stage2.guided": recipe.stage2.context.predicts,
        "stage3.guided": not recipe.single_step,
        "stage1.trains_pixels": False,
        "stage2.trains_pixels": False,
        "stage3.trains_pixels": True,
    }
    trainings = (recipe.stage1.training, recipe.stage2.training, stage3.training)
    for number, training in zip(STAGES, trainings, strict=True):
        derived[f"stage{number}.batch_of_a_gpu"] = training.batch_size / GPUS
        derived[f"stage{number}.averages"] = training.ema_decay > 0
    return derived


def _size(part: Component) -> str:
    shape = tuple(getattr(part, name, 0) for name in ("width", "depth", "heads"))
    return SIZES.get(shape, "×".join(map(str, shape)))


def _line(setting: Setting, values: Mapping[str, Any]) -> SettingLine:
    here, agrees = [], []
    for stage, published in zip(STAGES, setting.published, strict=True):
        value = values.get(setting.key.replace("{n}", str(stage))) if setting.key else None
        absent = published == "-" or value is None
        here.append(NONE if absent else as_text(value))
        if setting.key and published != "-":
            agrees.append(value is not None and same(published, value))
    return SettingLine(
        category=setting.category,
        parameter=setting.parameter,
        published=tuple(NONE if value == "-" else value for value in setting.published),
        here=tuple(here),
        agrees=all(agrees) if agrees else None,
        note=setting.note,
    )


def same(published: str, value: Any) -> bool:
    """Whether a value equals the printed one: `8,192` is 8192, `1e-4` is 0.0001, `True` is true."""
    if isinstance(value, bool | str):
        return published.strip('"') == str(value)
    try:
        return float(published.replace(",", "")) == float(value)
    except ValueError:
        return False


def as_text(value: Any) -> str:
    """Format a value for people."""
    if isinstance(value, bool | str):
        return str(value)
    if not isinstance(value, int | float):
        return json.dumps(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 1000 else f"{value:g}"
