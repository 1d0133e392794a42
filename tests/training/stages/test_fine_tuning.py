"""Stage 3: what it trains, what the decoder sees, when the discriminator starts, and resuming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_models
import torch
import torch.nn.functional as F
from small_training import Recorder, assert_resumes, run
from timm.models.vision_transformer import VisionTransformer

from sftok.config import ConfigError
from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig, sample_mask
from sftok.distributed import World
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.models.tokenizer import SFTok
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Step
from sftok.training.stages.fine_tuning import (
    FineTuningConfig,
    FineTuningStage,
    SingleStepFineTuningStage,
)

CONFIG = small_models.sftok_config()
LEARNING = TrainingConfig(
    batch_size=4,
    gradient_accumulation=2,
    checkpoint_every=100,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2, beta2=0.999),
    optimizers={"discriminator": OptimizerConfig(learning_rate=1e-3, end_learning_rate=1e-4, beta2=0.999)},
)


def blurred(reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Takes the place of a perceptual loss."""
    return (F.avg_pool2d(reconstructions, 4) - F.avg_pool2d(images, 4)).square().mean()


def build(kind: type[FineTuningStage] = FineTuningStage, **changes: Any) -> tuple[SFTok, FineTuningStage]:
    tokenizer = SFTok.from_config(CONFIG)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=2, num_classes=0)
    heads = DinoDiscriminator(DinoDiscriminatorConfig(depths=(1,), kernel_size=3), vit)
    config = FineTuningConfig(**({"discriminator_start": 3} | changes))
    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder, tokenizer.pixel_decoder)
    stage = kind(*parts, blurred, heads, config)  # type: ignore[arg-type]
    return tokenizer, stage.train()


def batches(start: int) -> Iterator[Batch]:
    """The same four images again and again."""
    images = F.interpolate(torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(7)), 16)
    while True:
        yield Batch(images=images, labels=torch.zeros(4, dtype=torch.long), indices=torch.arange(4))


def step(index: int = 0) -> Step:
    return Step(index, next(batches(0)), torch.Generator().manual_seed(index))


def gradients(module: torch.nn.Module) -> dict[str, bool]:
    return {name: parameter.grad is not None for name, parameter in module.named_parameters()}


def test_only_the_model_learns_from_its_losses() -> None:
    tokenizer, stage = build()
    stage.losses("model", step(3))["loss"].backward()
    assert all(gradients(tokenizer.decoder).values())
    assert all(gradients(tokenizer.pixel_decoder).values())
    for frozen in (tokenizer.encoder, tokenizer.quantizer, stage.discriminator):
        assert not any(gradients(frozen).values())


def test_only_the_discriminator_learns_from_its_losses() -> None:
    tokenizer, stage = build()
    first = step(3)
    stage.losses("model", first)
    stage.losses("discriminator", first)["loss"].backward()
    assert all(gradients(stage.discriminator).values())
    assert not any(gradients(tokenizer).values())


def test_optimizers_share_no_parameter_and_leave_out_what_is_frozen() -> None:
    tokenizer, stage = build()
    model, discriminator = ({id(each) for _, each in named} for named in stage.optimizers().values())
    assert not model & discriminator
    assert model == {
        id(each) for part in (tokenizer.decoder, tokenizer.pixel_decoder) for each in part.parameters()
    }


def test_frozen_parts_are_not_checkpointed_and_stay_in_evaluation_mode() -> None:
    tokenizer, stage = build()
    assert {name.split(".")[0] for name in stage.state_dict()} == {"trained", "discriminator", "lecam"}
    assert not tokenizer.encoder.training
    assert not tokenizer.quantizer.training


TABLE_6 = {"reconstruction_weight": 1.0, "perceptual_weight": 1.0, "discriminator_factor": 1.0}
TABLE_6 |= {"discriminator_weight": 0.5, "lecam_weight": 0.001, "lecam_decay": 0.999}
OTHERS = {"reconstruction_weight": 2.0, "perceptual_weight": 3.0, "discriminator_factor": 0.4}
OTHERS |= {"discriminator_weight": 0.05, "lecam_weight": 0.7, "lecam_decay": 0.9}


@pytest.mark.parametrize(("changes", "weights"), [({}, TABLE_6), (OTHERS, OTHERS)])
def test_losses_are_weighted_sums_by_default_those_of_table_6(
    changes: dict[str, float], weights: dict[str, float]
) -> None:
    _, stage = build(**changes)
    both = step(3)
    losses = stage.losses("model", both)
    assert losses["gan_loss"] != 0
    factor = weights["discriminator_factor"]
    expected = (
        weights["reconstruction_weight"] * losses["reconstruction_loss"]
        + weights["perceptual_weight"] * losses["perceptual_loss"]
        + factor * weights["discriminator_weight"] * losses["gan_loss"]
    )
    torch.testing.assert_close(losses["loss"], expected)
    losses = stage.losses("discriminator", both)
    expected = factor * losses["hinge_loss"] + weights["lecam_weight"] * losses["lecam_loss"]
    torch.testing.assert_close(losses["loss"], expected)
    moved = (1 - weights["lecam_decay"]) * losses["real_logits"].detach()
    torch.testing.assert_close(stage.lecam.real, moved)


def test_the_discriminator_is_not_used_before_its_start() -> None:
    _, stage = build()
    before = {name: value.clone() for name, value in stage.discriminator.state_dict().items()}
    assert stage.losses("model", step(2))["gan_loss"].item() == 0
    assert all(torch.equal(before[name], value) for name, value in stage.discriminator.state_dict().items())
    assert (stage.first_update("model"), stage.first_update("discriminator")) == (0, 3)


@pytest.mark.parametrize("schedule", ["arccos", "square"])
def test_visible_positions_show_the_first_prediction(schedule: str) -> None:
    tokenizer, stage = build(mask_schedule=schedule)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    tokenizer.decoder.register_forward_hook(lambda _, given, logits: seen.append((given[0], logits)))
    quantized = tokenizer.quantizer.lookup(tokenizer.encode(next(batches(0)).images))
    reconstructions = stage.reconstruct(quantized, torch.Generator().manual_seed(5))
    (hidden, first), (shown, last) = seen
    masked = sample_mask((4, 16), schedule, torch.Generator().manual_seed(5))
    assert (hidden == 24).all()
    assert not first.requires_grad
    assert torch.equal(shown, torch.where(masked, 24, first.argmax(-1)))
    assert torch.equal(reconstructions, tokenizer.pixel_decoder.decode_soft(last))


@pytest.mark.parametrize("stop_after", [2, 3, 4])
def test_it_resumes_bit_for_bit_across_the_start(tmp_path: Path, stop_after: int) -> None:
    resumed, _ = assert_resumes(
        lambda: build()[1], tmp_path, stop_after, steps=6, source=batches, config=LEARNING
    )
    assert resumed.lecam.real != 0


def test_it_learns_a_few_images_and_leaves_their_tokens_alone(tmp_path: Path) -> None:
    recorder, images = Recorder(), next(batches(0)).images
    tokenizer, stage = build()
    ids = tokenizer.encode(images)
    run(stage, tmp_path, recorder, steps=40, source=batches, config=LEARNING)
    losses = [line["reconstruction_loss"] + line["perceptual_loss"] for line in recorder.lines]
    assert losses[-1] < 0.4 * losses[0]
    assert torch.equal(tokenizer.encode(images), ids)
    assert "discriminator_loss" not in recorder.lines[2]
    assert {"gan_loss", "discriminator_loss", "discriminator_lecam_loss"} <= set(recorder.lines[3])


def test_processes_must_not_split_the_groups_of_the_discriminator() -> None:
    _, stage = build()
    split = Step(0, next(batches(0)), torch.Generator(), world=World(rank=0, size=2))
    with pytest.raises(ConfigError, match="normalizes over 8 images, which does not divide the 4 images"):
        stage.losses("model", split)


def test_single_step_fine_tuning_trains_the_soft_one_step_decoding_and_draws_nothing() -> None:
    tokenizer, stage = build(SingleStepFineTuningStage)
    images, draws = next(batches(0)).images, torch.Generator()
    before = draws.get_state()
    found = stage.reconstruct(tokenizer.quantizer.lookup(tokenizer.encode(images)), draws)
    assert torch.equal(draws.get_state(), before)
    decoding = DecodingConfig(steps=1, temperature=0, final_lookup="soft")
    torch.testing.assert_close(found.clamp(0, 1), tokenizer.reconstruct(images, decoding, draws))
