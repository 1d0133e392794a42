"""Contexts: chosen by configuration, and drawn alike by any number of processes."""

from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded

from sftok.config import ConfigError
from sftok.data.batches import Batch
from sftok.distributed import World
from sftok.training.contexts.base import ContextConfig
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.contexts.sampled import SampledConfig
from sftok.training.stages.base import Step
from sftok.training.stages.tokenizer import AlignmentConfig

CODES = torch.arange(12).view(3, 4)
LOGITS = draw(3, 4, 20, seed=1)


def step(world: World | None = None) -> Step:
    batch = Batch(torch.empty(3, 0), torch.zeros(3).long(), torch.arange(3))
    return Step(0, batch, seeded(), world=world or World())


def test_a_context_is_chosen_by_name_and_dumped_with_it() -> None:
    half = {"name": "prediction", "replacement_ratio": 0.5}
    config = AlignmentConfig.model_validate({"context": half})
    assert config.context == PredictionConfig(replacement_ratio=0.5)
    assert config.model_dump()["context"] == half
    assert AlignmentConfig().context == PredictionConfig(replacement_ratio=1.0)


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ("predictions", "unknown context 'predictions': did you mean 'prediction'"),
        ({"name": "prediction", "ratio": 1}, "unknown key 'ratio' of the context 'prediction'"),
        ({"name": "prediction", "replacement_ratio": 1.5}, "less than or equal to 1"),
    ],
)
def test_an_unusable_context_is_refused(context: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        AlignmentConfig.build({"context": context})


def test_vanilla_training_draws_nothing_and_saves_the_first_pass() -> None:
    update = step()
    before = update.generator.get_state()
    shown = PredictionConfig(replacement_ratio=0.0).build()(CODES, pytest.fail, update)
    assert torch.equal(shown, CODES)
    assert torch.equal(update.generator.get_state(), before)


@pytest.mark.parametrize("config", [PredictionConfig, SampledConfig])
def test_each_process_takes_its_share_of_the_draws_for_the_whole_batch(config: type[ContextConfig]) -> None:
    context = config.build(config.model_validate({"replacement_ratio": 0.5}))
    whole = context(torch.cat([CODES, CODES]), lambda: torch.cat([LOGITS, LOGITS]), step())
    shares = [context(CODES, lambda: LOGITS, step(World(rank, size=2))) for rank in range(2)]
    assert torch.equal(torch.cat(shares), whole)
    assert not torch.equal(*shares)


def test_sampled_codes_have_the_probabilities_of_the_first_pass() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2, 0.0])
    logits = probabilities.log().expand(3, 4000, 4)
    codes = torch.full((3, 4000), 3)
    shown = SampledConfig().build()(codes, lambda: logits, step())
    shares = torch.bincount(shown.flatten(), minlength=4) / shown.numel()
    torch.testing.assert_close(shares, probabilities, atol=0.02, rtol=0)
    cold = SampledConfig(temperature=1e-3).build()(codes, lambda: logits, step())
    assert cold.unique().tolist() == [0]
