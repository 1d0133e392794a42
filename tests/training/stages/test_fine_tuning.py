"""Stage 3: what it trains, what the decoder sees, when the discriminator starts, and resuming."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small_models import seeded
from small_training import Recorder, assert_resumes, batch_of, fine_tuning_stage, run

from sftok.config import ConfigError
from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig, sample_mask
from sftok.distributed import World
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Step
from sftok.training.stages.fine_tuning import SingleStepFineTuningStage

LEARNING = TrainingConfig(
    batch_size=4,
    gradient_accumulation=2,
    checkpoint_every=100,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2, beta2=0.999),
    optimizers={"discriminator": OptimizerConfig(learning_rate=1e-3, end_learning_rate=1e-4, beta2=0.999)},
)
IMAGES = F.interpolate(torch.rand(4, 3, 4, 4, generator=seeded(7)), 16)

build = partial(fine_tuning_stage, discriminator_start=3)


def batches(start: int) -> Iterator[Batch]:
    """The same four images again and again."""
    while True:
        yield batch_of(IMAGES)


def step(index: int = 0, world: World | None = None) -> Step:
    return Step(index, batch_of(IMAGES), seeded(index), world=world or World())


def gradients(module: torch.nn.Module) -> set[bool]:
    """Whether the parameters have gradients."""
    return {parameter.grad is not None for parameter in module.parameters()}


@pytest.mark.parametrize("optimizer", ["model", "discriminator"])
def test_an_optimizer_trains_its_part_alone(optimizer: str) -> None:
    tokenizer, stage = build()
    decoders, first = {tokenizer.decoder, tokenizer.pixel_decoder}, step(3)
    losses = {"model": stage.losses("model", first), "discriminator": stage.losses("discriminator", first)}
    losses[optimizer]["loss"].backward()
    trained = decoders if optimizer == "model" else {stage.discriminator}
    for part in (tokenizer.encoder, tokenizer.quantizer, stage.discriminator, *decoders):
        assert gradients(part) == {part in trained}
    given = {id(each) for _, each in stage.optimizers()[optimizer]}
    assert given == {id(each) for part in trained for each in part.parameters()}


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
    (_, stage), both, factor = build(**changes), step(3), weights["discriminator_factor"]
    losses = stage.losses("model", both)
    assert losses["gan_loss"] != 0
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
    reconstructions = stage.reconstruct(tokenizer.quantizer.lookup(tokenizer.encode(IMAGES)), seeded(5))
    (hidden, first), (shown, last) = seen
    masked = sample_mask((4, 16), schedule, seeded(5))
    assert (hidden == 24).all()
    assert not first.requires_grad
    assert torch.equal(shown, torch.where(masked, 24, first.argmax(-1)))
    assert torch.equal(reconstructions, tokenizer.pixel_decoder.decode_soft(last))


@pytest.mark.parametrize("stop_after", [2, 3, 4])
def test_it_resumes_bit_for_bit_across_the_start(tmp_path: Path, stop_after: int) -> None:
    options = {"steps": 6, "source": batches, "config": LEARNING}
    assert assert_resumes(lambda: build()[1], tmp_path, stop_after, **options).lecam.real != 0


def test_it_learns_a_few_images_and_leaves_their_tokens_alone(tmp_path: Path) -> None:
    recorder, (tokenizer, stage) = Recorder(), build()
    ids = tokenizer.encode(IMAGES)
    run(stage, tmp_path, recorder, steps=40, source=batches, config=LEARNING)
    losses = [line["reconstruction_loss"] + line["perceptual_loss"] for line in recorder.lines]
    assert losses[-1] < 0.4 * losses[0]
    assert torch.equal(tokenizer.encode(IMAGES), ids)
    assert "discriminator_loss" not in recorder.lines[2]
    assert {"gan_loss", "discriminator_loss", "discriminator_lecam_loss"} <= set(recorder.lines[3])


def test_processes_must_not_split_the_groups_of_the_discriminator() -> None:
    message = "normalizes over 8 images, which does not divide the 4 images"
    with pytest.raises(ConfigError, match=message):
        build()[1].losses("model", step(world=World(rank=0, size=2)))


def test_single_step_fine_tuning_trains_the_soft_one_step_decoding_and_draws_nothing() -> None:
    (tokenizer, stage), draws = build(SingleStepFineTuningStage), seeded()
    before = draws.get_state()
    found = stage.reconstruct(tokenizer.quantizer.lookup(tokenizer.encode(IMAGES)), draws)
    assert torch.equal(draws.get_state(), before)
    decoding = DecodingConfig(steps=1, temperature=0, final_lookup="soft")
    torch.testing.assert_close(found.clamp(0, 1), tokenizer.reconstruct(IMAGES, decoding, draws))
