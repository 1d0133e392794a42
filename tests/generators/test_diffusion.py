"""Diffusion generators: the loss, the sampling and its draws, guidance, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import draw, perturbed, seeded
from small_training import assert_resumes
from torch import Tensor, nn
from torch.testing import assert_close

from sftok import extras
from sftok.data.batches import Batch
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.distributed.world import World
from sftok.generators.base import GeneratorLossConfig, TokenShape
from sftok.generators.diffusion import DiffusionConfig, DiffusionGenerator
from sftok.generators.diffusion_unet import UNetConfig
from sftok.generators.diffusion_uvit import UViTConfig
from sftok.training.stages.base import Step
from sftok.training.stages.generator import GeneratorStage

LATENTS = TokenShape(num_tokens=9, latent_dim=4)
"""A grid of 3x3, which no U-Net halves evenly."""
UNET = UNetConfig(channels=(8, 16), num_res_blocks=1, head_dim=8, norm_groups=4, sampling_steps=4)
UVIT = UViTConfig(width=16, depth=2, heads=2, sampling_steps=4)
BOTH = pytest.mark.parametrize("config", [UNET, UVIT], ids=["unet", "uvit"])
LOSS = GeneratorLossConfig()


class ZeroConfig(DiffusionConfig):
    """Predicts no noise at all."""

    def build_denoiser(self, side: int, latent_dim: int, num_classes: int, generator: Any) -> nn.Module:
        return Zero()


class Zero(nn.Module):
    def forward(self, latents: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        return torch.zeros_like(latents)


def step(images: int, seed: int = 0, world: World | None = None) -> Step:
    batch = Batch(torch.empty(images, 0), torch.zeros(images), torch.zeros(images))
    return Step(0, batch, seeded(seed), world=world or World())


def model(config: DiffusionConfig, seed: int = 0) -> DiffusionGenerator:
    return perturbed(config.build(LATENTS, 3, seeded(seed)), 0.1).eval()


def sampling(scale: float = 0.0) -> GenerationConfig:
    return GenerationConfig(guidance_scale=scale)


@BOTH
def test_every_weight_learns_and_the_loss_falls(config):
    generator, latents, labels = model(config).train(), draw(6, 9, 4), torch.arange(6) % 3
    optimizer = torch.optim.Adam(generator.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = generator.loss(latents, labels, LOSS, step(6))["loss"]
        optimizer.zero_grad()
        loss.backward()
        assert all(weight.grad is not None for weight in generator.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_loss_is_the_noise_that_was_not_predicted():
    generator, latents = ZeroConfig().build(LATENTS, 3), draw(400, 9, 4)
    loss = generator.loss(latents, torch.zeros(400, dtype=torch.int64), LOSS, step(400))["loss"]
    assert_close(loss, torch.ones(()), atol=0.05, rtol=0)


@BOTH
def test_processes_together_train_as_one_does_alone(config):
    generator, latents, labels = model(config), draw(4, 9, 4), torch.arange(4) % 3
    whole = generator.loss(latents, labels, LOSS, step(4))["loss"]
    parts = [
        generator.loss(latents[part], labels[part], LOSS, step(2, world=World(rank=rank, size=2)))["loss"]
        for rank, part in enumerate((slice(0, 2), slice(2, 4)))
    ]
    assert_close(torch.stack(parts).mean(), whole)


@BOTH
@pytest.mark.parametrize("end", [{"stop_after": 4}, {"kill_at": 5}], ids=["stopped", "killed"])
def test_a_training_resumes_with_the_same_bits(config, tmp_path, end):
    def make() -> GeneratorStage:
        generator = config.build(LATENTS, 3, seeded())
        generator.measure(4 * draw(8, 9, 4))
        return GeneratorStage(generator, lambda batch: 4 * draw(4, 9, 4), LOSS)

    resumed = assert_resumes(make, tmp_path, steps=7, **end)
    assert_close(resumed.trained.deviation, (4 * draw(8, 9, 4)).std())


def test_latents_are_divided_by_their_deviation():
    generator, latents = model(UVIT), 5 * draw(8, 9, 4)
    generator.measure(latents)
    assert_close(generator.deviation, latents.std())
    labels = torch.zeros(8, dtype=torch.int64)
    unit = model(UVIT)
    expected = unit.loss(latents / latents.std(), labels, LOSS, step(8))["loss"]
    assert_close(generator.loss(latents, labels, LOSS, step(8))["loss"], expected)
    wide, narrow = (each.sample(labels, sampling(), seeded()) for each in (generator, unit))
    assert_close(wide, latents.std() * narrow)


def test_without_predicted_noise_ddim_only_rescales():
    generator = ZeroConfig(sampling_steps=50).build(LATENTS, 3)
    noise = torch.randn(2, 4, 3, 3, generator=seeded(7)).flatten(2).transpose(1, 2)
    kept = torch.cumprod(1 - torch.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2, 0)
    made = generator.sample(torch.tensor([0, 1]), sampling(), seeded(7))
    # From level 981 to the first.
    assert_close(made, noise * (kept[0] / kept[981]).sqrt(), rtol=1e-4, atol=1e-4)


@BOTH
def test_the_generator_fixes_a_sample_and_the_global_state_is_left_alone(config):
    generator, labels = model(config), torch.tensor([0, 1, 2])
    before = torch.random.get_rng_state()
    first, same, other = (generator.sample(labels, sampling(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.shape == (3, 9, 4)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@BOTH
def test_the_class_and_the_level_of_noise_count(config):
    generator, latents = model(config), draw(1, 4, 3, 3)

    def predicted(level: int, label: int) -> Tensor:
        return generator.denoiser(latents, torch.tensor([level]), torch.tensor([label]))

    assert not torch.allclose(predicted(5, 0), predicted(5, 1))
    assert not torch.allclose(predicted(5, 0), predicted(900, 0))
    assert predicted(5, generator.null_class).shape == latents.shape


@BOTH
def test_guidance_moves_away_from_the_sample_without_a_class(config):
    generator, labels = model(config), torch.tensor([0, 1])
    plain, weak, strong = (generator.sample(labels, sampling(scale=s), seeded()) for s in (0.0, 1e-6, 3.0))
    assert_close(weak, plain, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(strong, plain, atol=1e-3)


def test_only_guidance_is_chosen_among():
    grid = GuidanceGrid(schedules=("constant",), scales=(0.0, 1.0, 3.0), temperatures=(2.0, 3.0))
    points = UNET.points(grid, 8, "arccos")
    assert [point.guidance_scale for point in points] == [0.0, 1.0, 3.0]
    assert {point.temperature for point in points} == {1.0}
    assert model(UNET).sampling_steps(points[0]) == 4


@BOTH
def test_a_saved_generator_samples_the_same(config, tmp_path):
    generator = model(config)
    generator.measure(3 * draw(8, 9, 4))
    again = DiffusionGenerator.from_pretrained(generator.save_pretrained(tmp_path))
    labels = torch.tensor([0, 2])
    assert torch.equal(
        again.sample(labels, sampling(), seeded()), generator.sample(labels, sampling(), seeded())
    )
    loss = again.loss(draw(2, 9, 4), labels, LOSS, step(2))["loss"]
    assert torch.equal(loss, generator.loss(draw(2, 9, 4), labels, LOSS, step(2))["loss"])


@BOTH
def test_ids_and_grids_that_are_not_square_are_refused(config):
    with pytest.raises(ValueError, match="samples continuous latents, and this tokenizer has ids"):
        config.build(TokenShape(num_tokens=9, vocabulary=16), 3)
    with pytest.raises(ValueError, match="8 latents do not form a square grid"):
        config.build(TokenShape(num_tokens=8, latent_dim=4), 3)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (UNET, {"norm_groups": 5}, "norm_groups 5 does not divide 8"),
        (UNET, {"head_dim": 12}, "head_dim 12 does not divide 16"),
        (UNET, {"beta_start": 0.5}, "beta_start 0.5 is not below beta_end 0.0195"),
        (UNET, {"channels": (8, 0)}, "norm_groups 4 does not divide 0 channels"),
        (UNET, {"sampling_steps": 1000}, "sampling_steps 1000 is not below noise_levels 1000"),
        (UVIT, {"heads": 3}, "heads 3 does not divide width 16"),
        (UVIT, {"depth": 3}, "depth 3 is odd"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(config, changes, message):
    with pytest.raises(ValueError, match=message):
        type(config)(**{**dict(config), **changes})


@BOTH
def test_a_missing_library_is_one_line_that_names_the_extra(config, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    for fails in (config.check_weights, lambda: config.build(LATENTS, 3)):
        with pytest.raises(extras.MissingLibraryError, match=r"'sftok\[diffusion\]'"):
            fails()
