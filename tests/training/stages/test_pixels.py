"""Training on pixels: what the loss is, where its gradients go, and that a seed fixes it."""

from __future__ import annotations

from pathlib import Path

import torch
from small_models import seeded
from small_pixels import PatchesConfig
from small_training import assert_resumes, batch_of

from sftok.data.batches import Batch
from sftok.quantizers.vq import VQConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig
from sftok.training.stages.base import Step
from sftok.training.stages.pixels import PixelStage

CONFIG = PixelTokenizerConfig(
    image_size=2,
    autoencoder=PatchesConfig(patch_size=1),
    quantizer=VQConfig(codebook_size=8),
    latent_dim=3,
)


def stage() -> PixelStage:
    return PixelStage(PixelTokenizer(CONFIG, seeded(1))).train()  # type: ignore[return-value]


def step(batch: Batch) -> Step:
    return Step(0, batch, seeded(2))


def test_the_loss_is_the_error_of_pixels_and_the_quantizers_own() -> None:
    made, batch = stage(), batch_of(torch.rand(4, 3, 2, 2, generator=seeded()))
    losses = made.losses("model", step(batch))
    reconstruction, quantized = made.trained(batch.images, seeded(2))
    error = (reconstruction - batch.images).square().mean()
    torch.testing.assert_close(losses["reconstruction_loss"], error)
    torch.testing.assert_close(losses["loss"], error + quantized.loss)


def test_every_part_is_trained() -> None:
    made = stage()
    made.losses("model", step(batch_of(torch.rand(4, 3, 2, 2, generator=seeded()))))["loss"].backward()
    for name, weight in made.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_a_stopped_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    assert_resumes(stage, tmp_path, stop_after=4)
