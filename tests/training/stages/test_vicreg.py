from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded

from sftok.data.batches import Batch
from sftok.evaluation.extractors.vicreg import SelfSupervised
from sftok.training.stages.base import Step
from sftok.training.stages.vicreg import VICRegStage, _spread, view


def step(seed: int = 0) -> Step:
    images = torch.rand(16, 3, 16, 16, generator=seeded(9))
    labels = torch.zeros(16, dtype=torch.int64)
    return Step(0, Batch(images, labels, torch.arange(16)), seeded(seed))


def stage() -> VICRegStage:
    torch.manual_seed(0)
    return VICRegStage(SelfSupervised((8, 12)))


def test_the_network_and_the_expander_are_trained_and_the_labels_are_not_looked_at():
    made = stage()
    losses = made.losses("model", step())
    losses["loss"].backward()
    assert all(parameter.grad is not None for _, parameter in made.optimizers()["model"])
    assert {name.partition(".")[0] for name, _ in made.optimizers()["model"]} == {"trained", "expander"}
    batch = step()
    batch.batch.labels.add_(1)
    assert torch.equal(stage().losses("model", batch)["loss"], losses["loss"])


def test_every_draw_comes_from_the_steps_generator():
    one, same, other = (stage().losses("model", step(seed))["loss"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_collapsed_embeddings_cost_the_whole_margin_and_spread_ones_nothing():
    assert _spread(torch.zeros(8, 4)).item() == pytest.approx(25 * (1 - 1e-2), abs=1e-4)
    wide = 2 * torch.linalg.qr(draw(64, 4) - draw(64, 4).mean(0)).Q * 63**0.5
    assert _spread(wide - wide.mean(0)).item() < 0.1
    same_twice = wide[:, :1].expand(-1, 4)
    assert _spread(same_twice).item() > 10, "equal dimensions are redundant"


def test_a_view_of_the_whole_image_in_the_same_light_is_the_image_or_its_mirror():
    images = torch.rand(2, 3, 9, 9, generator=seeded())
    # The largest crop, not moved; the first is mirrored.
    draws = torch.tensor([[1.0, 0.5, 0.5, 0.0, 0.5, 0.5], [1.0, 0.5, 0.5, 0.9, 0.5, 0.5]])
    shown = view(images, draws)
    torch.testing.assert_close(shown[0], images[0].flip(-1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shown[1], images[1], atol=1e-5, rtol=1e-5)
    brighter = view(images / 2, torch.tensor([[1.0, 0.5, 0.5, 0.9, 0.5, 1.0]] * 2))
    assert (brighter.mean((1, 2, 3)) > images.mean((1, 2, 3)) / 2).all()
