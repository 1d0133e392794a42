"""The cpu profile's models on random images: what the benchmarks time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from small_models import seeded

from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from sftok.data.batches import Batch
from sftok.tokenizers.sftok import SFTok
from sftok.training.precision import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments" / "executors"))  # for `making`

PARTS = ("tokenizer.encoder", "tokenizer.decoder")

# The profile's step is small: what does not depend on the precision weighs more in it than in a larger or,
# above all, a wider one.
SIZES = {
    "profile": {},
    "wider": {f"{part}.{name}": size for part in PARTS for name, size in (("width", 128), ("heads", 4))},
    "larger": {
        **{f"{part}.heads": 4 for part in PARTS},
        "tokenizer.encoder.patch_size": 4,
        "tokenizer.num_latent_tokens": 8,
        "stage2.training.batch_size": 128,
    },
}


@pytest.fixture(scope="session")
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return resolve(PROFILES["cpu"].overlay, SIZES[getattr(request, "param", "profile")])


@pytest.fixture(scope="session")
def tokenizer(recipe: Recipe) -> SFTok:
    keep_freed_memory()
    return SFTok.from_config(recipe.tokenizer_config())


@pytest.fixture(scope="session")
def batch(recipe: Recipe) -> Batch:
    size, side = recipe.stage2.training.batch_size, recipe.data.image_size
    images = torch.rand(size, 3, side, side, generator=seeded())
    return Batch(images=images, labels=torch.zeros(size, dtype=torch.long), indices=torch.arange(size))
