"""Sizes are counted on shapes alone, and are those of the built model."""

from __future__ import annotations

import pytest

from experiments.planning.sizes import gpu_hours, parameter_counts, training_flops
from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from sftok.tokenizers.sftok import SFTok


def test_parameters_are_those_of_the_built_model() -> None:
    recipe = resolve(PROFILES["smoke"].overlay)
    built = SFTok.from_config(recipe.tokenizer_config())
    counts = parameter_counts(recipe)
    assert counts["total"] == sum(parameter.numel() for parameter in built.parameters())
    assert counts["decoder"] == sum(parameter.numel() for parameter in built.decoder.parameters())


def test_the_papers_models_have_the_size_of_vit_b_and_vit_l() -> None:
    paper = PROFILES["paper"]
    small = parameter_counts(resolve(paper.overlay))
    large = parameter_counts(resolve(paper.overlay, paper.variants["larger-decoder"]))
    assert small["encoder"] == large["encoder"]
    assert 85e6 < small["encoder"] < 90e6
    assert 300e6 < large["decoder"] < 320e6


def test_operations_of_a_stage() -> None:
    recipe = resolve(PROFILES["smoke"].overlay)
    cached = {stage: training_flops(recipe, stage) for stage in ("warm-up", "alignment")}
    assert cached["alignment"] > cached["warm-up"] > 0
    vanilla = resolve(PROFILES["smoke"].overlay, {"stage2.context.replacement_ratio": 0.0})
    assert training_flops(vanilla, "alignment") == cached["warm-up"]
    endless_views = resolve(PROFILES["smoke"].overlay, {"augmentation.flip": True})
    assert training_flops(endless_views, "warm-up") > cached["warm-up"], "the teacher runs at every step"
    one_pass = training_flops(recipe, "single-step-fine-tuning")
    assert training_flops(recipe, "fine-tuning") > one_pass


def test_a_blocks_operations_are_counted_by_hand() -> None:
    def recipe(depth: int) -> Recipe:
        changes = {"width": 64, "depth": depth, "heads": 2}
        overlay = {f"tokenizer.decoder.{name}": value for name, value in changes.items()}
        return resolve(PROFILES["smoke"].overlay, overlay)

    config = recipe(3).tokenizer_config()
    num_codes = config.pixel_decoder.num_codes(config.image_size)
    tokens, width = 1 + num_codes + config.num_latent_tokens, 64  # the class token, too
    # The joint projection, the projection back and an MLP of four times the width; scores and their use.
    multiplications = tokens * (3 + 1 + 8) * width**2 + 2 * tokens**2 * width
    # A multiplication goes with an addition; the backward pass is two of the forward one.
    assert training_flops(recipe(3), "warm-up") - training_flops(recipe(2), "warm-up") == 6 * multiplications


def test_gpu_hours_add_up_and_stage_3_counts_where_it_is_trained() -> None:
    smoke = PROFILES["smoke"].overlay
    several = gpu_hours(resolve(smoke, {"fine_tuned": True}))
    single = gpu_hours(resolve(smoke, {"fine_tuned": True, "stage1.steps": "all"}))
    assert several["hours_total"] == pytest.approx(several["hours_stages_1_2"] + several["hours_stage_3"])
    assert 0 < single["hours_stage_3"] < several["hours_stage_3"], "one pass of the decoder less"
    assert gpu_hours(resolve(smoke))["hours_stage_3"] == 0
