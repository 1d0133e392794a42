"""The published configuration (Table 6) beside a profile's own, which is read off and never typed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments.recipe import Recipe, TransformerSize, flat
from experiments.records.results import SettingLine
from experiments.spec import Experiment, Setting

NONE = "–"
"""Where a stage has no such setting."""

GPUS = 8
"""Of the paper's machine (Section 4.1); batch sizes of a recipe are those of all of them together."""

SIZES = {
    TransformerSize(width=768, depth=12, heads=12): "base",
    TransformerSize(width=1024, depth=24, heads=16): "large",
}
"""The paper's names of transformers."""

STAGES = (1, 2, 3)


def setting_lines(experiment: Experiment, recipe: Recipe) -> tuple[SettingLine, ...]:
    """The experiment's published settings, each with what `recipe` says."""
    values = resolved(recipe)
    return tuple(_line(setting, values) for setting in experiment.settings)


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Every value of `recipe` by its dotted key, and those that follow from several of them."""
    return flat(recipe.model_dump(mode="json")) | _derived(recipe)


def _derived(recipe: Recipe) -> dict[str, Any]:
    teacher, stage3 = recipe.teacher_config(), recipe.stage3
    guided = recipe.stage2.replacement_ratio > 0
    discriminator = stage3.discriminator.name
    names = {"dino": "dinodisc", "lpips-vgg": "lpips"}
    derived = {
        "derived.encoder_size": _size(recipe.tokenizer.encoder),
        "derived.decoder_size": _size(recipe.tokenizer.decoder),
        "derived.num_codes": teacher.num_codes,
        "derived.code_patch": recipe.data.image_size // teacher.code_grid,
        "derived.discriminator": names.get(discriminator, discriminator),
        "derived.perceptual": names.get(stage3.perceptual.name, stage3.perceptual.name),
        # What each stage is, in the words of Table 6.
        "stage1.max_steps": recipe.warm_up_steps,
        "stage2.max_steps": recipe.alignment_steps,
        "stage3.max_steps": stage3.steps,
        "stage1.single_step": True,
        "stage2.single_step": False,
        "stage3.single_step": recipe.single_step,
        "stage1.guided": False,
        "stage2.guided": guided,
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


def _size(size: TransformerSize) -> str:
    return SIZES.get(size, f"{size.width}×{size.depth}×{size.heads}")


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
    """Whether a value says what the paper prints: `8,192` is 8192, `1e-4` is 0.0001, `True` is true."""
    if isinstance(value, bool | str):
        return published.strip('"') == str(value)
    try:
        return float(published.replace(",", "")) == float(value)
    except ValueError:
        return False


def as_text(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool | str):
        return str(value)
    if not isinstance(value, int | float):
        return json.dumps(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 1000 else f"{value:g}"
