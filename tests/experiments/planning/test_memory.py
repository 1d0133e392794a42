"""The gpu profile fits a card of 12 GB, by counting; the counter counts what is known."""

from __future__ import annotations

import pytest
import torch

from experiments.planning.memory import _Counter, pixel_memory, pixel_variants, training_memory
from experiments.planning.sizes import parameter_counts
from experiments.profiles import PROFILES
from experiments.recipe import resolve

LIBRARIES = 1.0e9
"""What a GPU's own libraries take, at most."""


def test_the_counter_knows_what_lives() -> None:
    with _Counter() as counter:
        first = torch.zeros(1000)
        second = first + 1
        del second
        third = first[:10]
        assert counter.now == 4000
        third.add_(1)
    assert counter.peak == 8000


def test_a_step_takes_at_least_weights_gradients_moments_and_average() -> None:
    recipe = resolve(PROFILES["smoke"].overlay)
    found, counts = training_memory(recipe), parameter_counts(recipe)
    assert set(found) == {"teacher", "alignment", "fine-tuning", "generator"}
    trained = counts["total"] - counts["pixel_decoder"]
    assert found["alignment"] > 5 * 4 * trained
    assert found["teacher"] > 5 * 4 * parameter_counts(recipe, "teacher")["total"]


def test_a_tokenizer_trained_on_pixels_takes_more_with_every_image() -> None:
    profile = PROFILES["smoke"]
    assert {"vit-vqgan", "vqgan-lc", "open-magvit2", "dc-ae"} <= set(pixel_variants(profile))
    assert "larger-decoder" not in pixel_variants(profile)
    twice = 2 * resolve(profile.overlay).pixels.training.batch_size
    larger = profile.model_copy(update={"overlay": {**profile.overlay, "pixels.training.batch_size": twice}})
    for variant in ("vqgan-lc", "open-magvit2"):
        assert 0 < pixel_memory(profile, variant) < pixel_memory(larger, variant)


@pytest.mark.slow
def test_the_gpu_profile_fits_12_gb() -> None:
    found = training_memory(resolve(PROFILES["gpu"].overlay))
    assert max(found.values()) + LIBRARIES < 12e9, found
