"""The cpu profile's models on random images: what the benchmarks time."""

from __future__ import annotations

import pytest
import torch

from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from sftok.data.batches import Batch
from sftok.models.tokenizer import SFTok
from sftok.training.precision import keep_freed_memory

# The profile's step is small: what does not depend on the precision weighs more in it than in a larger or,
# above all, a wider one.
SIZES = {
    "profile": {},
    "wider": {
        "tokenizer.encoder": {"width": 128, "depth": 4, "heads": 4},
        "tokenizer.decoder": {"width": 128, "depth": 4, "heads": 4},
    },
    "larger": {
        "tokenizer.patch_size": 4,
        "tokenizer.num_latent_tokens": 8,
        "tokenizer.encoder.heads": 4,
        "tokenizer.decoder.heads": 4,
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
    images = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(images=images, labels=torch.zeros(size, dtype=torch.long), indices=torch.arange(size))
