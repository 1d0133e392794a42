from __future__ import annotations

import math

import pytest
import small_models
import torch
from small_models import seeded

from sftok.data.batches import Batch
from sftok.decoding.schedule import sample_mask
from sftok.generators.base import GeneratorLossConfig, GeneratorRecord
from sftok.generators.maskgit import MaskGITGenerator
from sftok.training.stages.base import Step
from sftok.training.stages.generator import GeneratorStage

MODEL = small_models.generator_record(4, 8, 3)


def class_ids(batch: Batch) -> torch.Tensor:
    """The ids of an image are a function of its class."""
    return (batch.labels.unsqueeze(1) * 2 + torch.arange(MODEL.num_tokens)) % MODEL.vocabulary


def step(index: int = 0, count: int = 12) -> Step:
    labels = torch.arange(count) % MODEL.num_classes
    batch = Batch(images=torch.empty(count, 0), labels=labels, indices=torch.arange(count))
    return Step(index, batch, seeded(index))


def stage(model: GeneratorRecord = MODEL, **changes) -> GeneratorStage:
    return GeneratorStage(MaskGITGenerator.from_config(model), class_ids, GeneratorLossConfig(**changes))


def test_a_fresh_generator_guesses():
    losses = stage(label_smoothing=0.0).losses("model", step())
    assert losses["loss"].item() == pytest.approx(math.log(MODEL.vocabulary), abs=0.05)
    assert 0 <= losses["masked_accuracy"].item() <= 1


def test_the_model_sees_the_ids_masked_as_in_decoding():
    this, seen = stage(class_drop=0.0), []
    this.trained.register_forward_pre_hook(lambda _, given: seen.append(given))
    this.losses("model", step(3))
    ids, labels, _ = seen[0]
    masked = sample_mask((12, 4), "arccos", seeded(3))
    assert torch.equal(ids == this.trained.mask_id, masked)
    assert torch.equal(ids[~masked], class_ids(step().batch)[~masked])
    assert torch.equal(labels, step().batch.labels)


def test_the_loss_is_a_function_of_the_steps_generator():
    this = stage(small_models.generator_record(4, 8, 3, dropout=0.3))
    torch.manual_seed(1)
    first = this.losses("model", step(2))["loss"]
    torch.manual_seed(2)
    assert torch.equal(this.losses("model", step(2))["loss"], first)
    assert not torch.equal(this.losses("model", step(4))["loss"], first)


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.1, 0.08, 0.12), (1.0, 1, 1)])
def test_classes_are_dropped_at_their_rate(rate, low, high):
    this, labels = stage(class_drop=rate), torch.arange(5000) % MODEL.num_classes
    dropped = this.trained.drop_classes(labels, rate, step())
    changed = dropped != labels
    assert low <= changed.float().mean().item() <= high
    assert (dropped[changed] == this.trained.null_class).all()


def test_it_learns_what_a_class_looks_like():
    this, losses = stage(class_drop=0.2, label_smoothing=0.0), []
    optimizer = torch.optim.Adam(this.trained.parameters(), lr=1e-2)
    for index in range(80):
        loss = this.losses("model", step(index, count=24))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad.abs().sum() > 0 for _, parameter in this.optimizers()["model"])
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    hidden, batch = torch.full((3, MODEL.num_tokens), this.trained.mask_id), step(count=3).batch
    assert torch.equal(this.trained(hidden, batch.labels).argmax(-1), class_ids(batch))
