"""The codebook of clustered features: class by class, the same every time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plans import DATA, SPECS
from small_models import draw

from experiments.artifacts.codebook import Codebook
from experiments.planning.rows import plan_row
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.config import ConfigError


def codebook(**changes: Any) -> Codebook:
    fields = {"codebook_size": 20, "images_per_class": 4, "seed": 0, "features": {"name": "classifier"}}
    return Codebook(label="codes", **(fields | changes))


def test_a_seed_fixes_the_centers_bit_for_bit() -> None:
    patches = draw(60, 5)
    centers = codebook()._centers(patches, 6)
    assert centers.shape == (6, 5)
    assert torch.equal(centers, codebook()._centers(patches, 6))
    assert not torch.equal(centers, codebook(seed=1)._centers(patches, 6))


def test_centers_of_clear_clusters_are_their_means() -> None:
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    patches = means.repeat(20, 1) + 0.01 * draw(60, 2)
    centers = codebook()._centers(patches, 3)
    torch.testing.assert_close(centers[centers.argsort(dim=0)[:, 0]].sum(0), means.sum(0), atol=0.05, rtol=0)


def test_only_the_row_that_is_given_codes_has_a_codebook() -> None:
    profile = PROFILES["cpu"]
    kinds = {}
    for name in ("vqgan-lc", "llamagen-l"):
        row = SPECS["table1"].row(name)
        made = plan_row(row, resolve(profile.overlay, profile.overlay_of(row)), 0, DATA)
        kinds[name] = [artifact.kind for artifact in made.artifacts if artifact.kind != "judge"]
    assert kinds["vqgan-lc"] == ["classifier", "codebook", "pixels", "evaluation"]
    assert "codebook" not in kinds["llamagen-l"]


@pytest.mark.parametrize(
    "changes",
    [{"pixels.quantizer": {"name": "projected"}}, {"pixels.codebook": {"features": {"name": "clip"}}}],
)
def test_codes_that_are_missing_or_too_much_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="codebook must be set if the quantizer is 'projected'"):
        resolve(PROFILES["cpu"].overlay, changes)
