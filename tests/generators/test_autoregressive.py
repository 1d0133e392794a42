"""What holds for every autoregressive generator, above all that the cache changes no bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_models import perturbed, seeded
from torch.testing import assert_close

from sftok.data.batches import Batch
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.generators.autoregressive import AutoregressiveGenerator
from sftok.generators.base import Generator, GeneratorLossConfig, GeneratorRecord
from sftok.generators.llamagen import LlamaGenConfig
from sftok.generators.open_magvit2 import OpenMagvit2Config
from sftok.training.stages.base import Step
from sftok.training.stages.generator import GeneratorStage

SHAPE = {"width": 32, "depth": 2, "heads": 2, "dropout": 0.0}
MODELS = {
    "llamagen": LlamaGenConfig(**SHAPE),
    "open-magvit2": OpenMagvit2Config(**SHAPE, bits=(2, 3), intra_depth=1),
    "three parts": OpenMagvit2Config(**SHAPE, bits=(2, 1, 2), intra_depth=2),
}
LABELS = torch.tensor([0, 1, 2, 1, 0])
GUIDED = GenerationConfig(guidance_scale=1.5, guidance_schedule="linear", temperature=0.9)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def record(request) -> GeneratorRecord:
    return GeneratorRecord(model=request.param, num_tokens=9, vocabulary=32, num_classes=3)


@pytest.fixture
def model(record) -> AutoregressiveGenerator:
    return perturbed(Generator.from_config(record), 0.2).eval().requires_grad_(False)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(32, (5, 9), generator=seeded(1))


def observed(model, labels, config, seed=3) -> tuple[torch.Tensor, dict[tuple[int, int], torch.Tensor]]:
    """A sample, and the guided logits of each position and part."""
    logits: dict[tuple[int, int], torch.Tensor] = {}
    scales = [[config.guidance_scale * place / 9] * len(model.parts) for place in range(9)]

    def keep(position: int, part: int, seen: torch.Tensor) -> None:
        logits[position, part] = seen

    return model.sample_guided(labels, scales, config, seeded(seed), keep), logits


@pytest.mark.parametrize("batch", [1, 2, 5, 20])
def test_sampling_with_the_cache_gives_the_bits_of_computing_every_position_again(model, batch):
    labels = torch.arange(batch) % 3
    ids, cached = observed(model, labels, GUIDED)
    for position in range(9):
        known = ids.masked_fill(torch.arange(9) > position, 0)
        rows = max(batch, 8)  # with the unconditional half, as many as products need
        known = known.repeat(-(-rows // batch), 1)
        null = torch.full((len(known),), model.null_class)
        both = model(torch.cat([known, known]), torch.cat([labels.repeat(len(known) // batch), null]))
        for part, each in enumerate(both):
            conditional, unconditional = (half[:batch, position] for half in each.chunk(2))
            scale = 1.5 * position / 9
            expected = conditional + scale * (conditional - unconditional)
            assert torch.equal(cached[position, part], expected), (position, part)


def test_an_image_does_not_depend_on_its_batch(model):
    _, alone = observed(model, LABELS[1:2], GUIDED.model_copy(update={"temperature": 0.0}))
    _, among = observed(model, LABELS, GUIDED.model_copy(update={"temperature": 0.0}))
    assert all(torch.equal(alone[place][0], among[place][1]) for place in alone)


def test_a_position_sees_the_class_and_earlier_ids_alone(model, ids):
    before = model(ids, LABELS)
    changed = ids.clone()
    changed[:, 4] = (ids[:, 4] + 1 + 4 + 8) % 32
    after = model(changed, LABELS)
    for part, (one, other) in enumerate(zip(before, after, strict=True)):
        differs = (one - other).abs().amax(-1) > 1e-6
        assert not differs[:, :4].any()
        assert differs[:, 5:].all()
        assert differs[:, 4].any() == (part > 0), "a part sees the parts before it"
    for one, other in zip(before, model(ids, (LABELS + 1) % 3), strict=True):
        assert ((one - other).abs().amax(-1) > 1e-6).all(), "every position sees the class"


def test_parts_make_the_id(model):
    ids = torch.arange(32)
    assert torch.equal(model.join(model.split(ids)), ids)
    assert (model.split(ids) < torch.tensor(model.parts)).all()
    assert model.split(torch.tensor(1)).tolist()[0] == 1, "the first part is the least significant"


def test_every_parameter_gets_a_gradient(model, ids):
    model.requires_grad_(True)
    labels = torch.tensor([0, 1, 2, 3, 0])
    every = torch.arange(5 * 9).view(5, 9) % 32
    for each in (ids, every):
        sum(logits.square().sum() for logits in model(each, labels)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_fresh_generator_guesses_and_weights_come_from_the_generator_alone(record, ids):
    drawn = []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)
        drawn.append(Generator.from_config(record, seeded(seed)))
    first, same, other = (model.state_dict() for model in drawn)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["class_embedding.weight"], other["class_embedding.weight"])
    losses = stage(drawn[0], ids).losses("model", step(1))
    assert losses["loss"].item() == pytest.approx(math.log(32), abs=1e-5)
    assert 0 <= losses["accuracy"].item() <= 1


def stage(model: Generator, ids: torch.Tensor, **changes: Any) -> GeneratorStage:
    return GeneratorStage(model, lambda batch: ids[batch.indices], GeneratorLossConfig(**changes))


def step(index: int) -> Step:
    batch = Batch(images=torch.empty(5, 0), labels=LABELS, indices=torch.arange(5))
    return Step(index, batch, seeded(index))


def test_the_loss_is_a_function_of_the_steps_generator(record, ids):
    dropping = record.model_copy(update={"model": record.model.model_copy(update={"dropout": 0.3})})
    this = stage(perturbed(Generator.from_config(dropping), 0.2), ids)
    torch.manual_seed(1)
    first = this.losses("model", step(2))["loss"]
    torch.manual_seed(2)
    assert torch.equal(this.losses("model", step(2))["loss"], first)
    assert not torch.equal(this.losses("model", step(4))["loss"], first)


def test_it_learns_what_a_class_looks_like(record):
    ids = (torch.arange(9) * 5 + 7 * torch.arange(3).unsqueeze(1)) % 32
    this = stage(Generator.from_config(record), ids[LABELS], class_drop=0.2)
    optimizer = torch.optim.Adam(this.trained.parameters(), lr=5e-3)
    for index in range(300):  # of 200, rounding on some machines leaves one id wrong
        optimizer.zero_grad()
        this.losses("model", step(index))["loss"].backward()
        optimizer.step()
    config = GenerationConfig(temperature=0.0, guidance_scale=1.0)
    assert torch.equal(this.trained.sample(torch.arange(3), config, seeded()), ids)


def test_a_seed_fixes_a_sample_and_its_schedule_of_guidance_goes_over_the_ids(model):
    first = model.sample(LABELS, GUIDED, seeded(5))
    assert torch.equal(model.sample(LABELS, GUIDED, seeded(5)), first)
    assert not torch.equal(model.sample(LABELS, GUIDED, seeded(6)), first)
    assert torch.equal(observed(model, LABELS, GUIDED, seed=5)[0], first)
    assert first.shape == (5, 9)
    assert ((first >= 0) & (first < 32)).all()
    assert model.sampling_steps(GUIDED) == 9


def test_samples_follow_the_predicted_distribution(model):
    labels = torch.zeros(4000, dtype=torch.int64)
    config = GenerationConfig(guidance_scale=0.0)
    first = model.split(model.sample(labels, config, seeded()))[:, 0, 0]
    expected = model(torch.zeros(2, 9, dtype=torch.int64), labels[:2])[0][0, 0].softmax(-1)
    assert_close(first.bincount(minlength=model.parts[0]) / 4000, expected, atol=0.03, rtol=0)


def test_the_grids_temperatures_become_as_many_softmax_temperatures():
    grid = GuidanceGrid(scales=(0.0, 2.0), temperatures=(1.0, 3.0, 5.0))
    points = MODELS["llamagen"].points(grid, 8, "arccos")
    assert len(points) == len(grid.points(8, "arccos"))
    assert sorted({point.temperature for point in points}) == [0.81, 0.9, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "heads 3 does not divide width 32"),
        ({"heads": 16}, "have 2 channels, and 2D rotary positions need a multiple of 4"),
        ({"bits": (0, 5)}, "every part has at least one bit"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        OpenMagvit2Config(**{**SHAPE, **changes})


def test_settings_of_another_loss_are_refused():
    with pytest.raises(ValueError, match=r"loss\.label_smoothing has no effect on the generator 'llamagen'"):
        MODELS["llamagen"].check_loss(GeneratorLossConfig(label_smoothing=0.2))
    MODELS["llamagen"].check_loss(GeneratorLossConfig(class_drop=0.2))
