"""The measures of the paper's argument, on a tokenizer small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sftok.analysis.contexts import ContextStatistics
from sftok.analysis.running import Number, RunningMeans
from sftok.analysis.steps import StepStatistics
from sftok.decoding.schedule import DecodingConfig
from sftok.models.tokenizer import SFTok

VOCABULARY, CODES = 8, 16


def batch(size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(8, (size, 2), generator=generator)
    return ids, torch.randint(VOCABULARY, (size, CODES), generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def values(found: list[Number], **where: object) -> dict[str, float]:
    """The values at the coordinates `where`, by metric."""
    return {number.metric: number.value for number in found if number.coordinates == where}


def steps_of(tokenizer: SFTok, count: int, size: int = 5) -> list[dict[str, dict[str, float]]]:
    """For each step, the values of all positions and of the masked ones."""
    statistics = StepStatistics(DecodingConfig(steps=count, temperature=0.0))
    statistics.update(tokenizer, *batch(size), seeded())
    found, decoding = statistics.compute(), {"steps": count, "temperature": 0.0}
    return [
        {each: values(found, **decoding, step=step, positions=each) for each in ("all", "masked")}
        for step in range(1, count + 1)
    ]


def test_the_last_step_agrees_with_itself(tokenizer: SFTok) -> None:
    steps = steps_of(tokenizer, 4)
    assert steps[-1]["all"]["kl_to_final"] == pytest.approx(0, abs=1e-6)
    assert steps[-1]["masked"]["agreement_with_final"] == 1.0
    assert all(step["all"]["kl_to_final"] >= -1e-6 for step in steps)
    assert all(0 <= step["all"]["accuracy"] <= 1 for step in steps)


def test_an_untrained_decoder_is_about_as_wrong_as_a_guess(tokenizer: SFTok) -> None:
    first = steps_of(tokenizer, 2, size=64)[0]["all"]
    assert first["kl_to_truth"] == pytest.approx(math.log(VOCABULARY), rel=0.1)


def test_in_the_first_step_every_position_is_masked(tokenizer: SFTok) -> None:
    first = steps_of(tokenizer, 3)[0]
    assert first["masked"] == pytest.approx(first["all"])


def test_gaps_are_differences_of_cross_entropies(tokenizer: SFTok) -> None:
    statistics = ContextStatistics((0.5,))
    statistics.update(tokenizer, *batch(), seeded())
    found = statistics.compute()
    single, true, own = (
        values(found, context=context, visible=0.5)["cross_entropy"] for context in ("single", "true", "own")
    )
    gaps = values(found, visible=0.5)
    assert gaps["information_gain"] == pytest.approx(single - true)
    assert gaps["exposure_gap"] == pytest.approx(own - true)
    assert gaps["information_gain"] == pytest.approx(gaps["computation_gain"] + gaps["exposure_gap"])


def test_contexts_coincide_where_the_prediction_is_the_truth(tokenizer: SFTok) -> None:
    ids, _ = batch()
    quantized = tokenizer.quantizer.lookup(ids)
    hidden = torch.full((len(ids), CODES), tokenizer.decoder.mask_id)
    with torch.no_grad():
        codes = tokenizer.decoder(hidden, quantized).argmax(-1)
    statistics = ContextStatistics((0.25, 0.75))
    statistics.update(tokenizer, ids, codes, seeded())
    found = statistics.compute()
    for visible in (0.25, 0.75):
        assert values(found, visible=visible)["exposure_gap"] == 0.0
        assert values(found, context="single", visible=visible)["accuracy"] == 1.0


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(0, 30))
def test_running_means_agree_for_any_split(given: list[float], cut: int) -> None:
    whole, left, right = RunningMeans(), RunningMeans(), RunningMeans()
    for means, part in ((whole, given), (left, given[:cut]), (right, given[cut:])):
        means.update("x", torch.tensor(part, dtype=torch.float64), step=1)
    left.merge(right)
    (merged,), (expected,) = left.compute(), whole.compute()
    assert merged == ("x", {"step": 1}, pytest.approx(expected.value))
