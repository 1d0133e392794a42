"""The measures of the paper's argument, on a tokenizer small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import small_models
import torch
from hypothesis import given
from hypothesis import strategies as st

from sftok.analysis.context import ContextGaps
from sftok.analysis.running import RunningMeans
from sftok.analysis.steps import StepStatistics
from sftok.decoding.schedule import DecodingConfig
from sftok.models.tokenizer import SFTok

VOCABULARY, CODES = 8, 16


@pytest.fixture(scope="module")
def tokenizer() -> SFTok:
    return SFTok.from_config(small_models.smaller_sftok_config()).eval()


def batch(size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(8, (size, 2), generator=generator)
    return ids, torch.randint(VOCABULARY, (size, CODES), generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_last_step_agrees_with_itself(tokenizer: SFTok) -> None:
    statistics = StepStatistics(DecodingConfig(steps=4, temperature=0.0))
    statistics.update(tokenizer, *batch(), seeded())
    steps = statistics.compute()
    assert len(steps) == 4
    assert steps[-1]["kl_to_final"] == pytest.approx(0, abs=1e-6)
    assert steps[-1]["masked_agreement_with_final"] == 1.0
    assert all(step["kl_to_final"] >= -1e-6 for step in steps)
    assert all(0 <= step["accuracy"] <= 1 for step in steps)


def test_an_untrained_decoder_is_about_as_wrong_as_a_guess(tokenizer: SFTok) -> None:
    statistics = StepStatistics(DecodingConfig(steps=2, temperature=0.0))
    statistics.update(tokenizer, *batch(64), seeded())
    assert statistics.compute()[0]["kl_to_truth"] == pytest.approx(math.log(VOCABULARY), rel=0.1)


def test_the_first_step_is_masked_everywhere(tokenizer: SFTok) -> None:
    statistics = StepStatistics(DecodingConfig(steps=3, temperature=0.0))
    statistics.update(tokenizer, *batch(), seeded())
    first = statistics.compute()[0]
    assert first["masked_accuracy"] == first["accuracy"]
    assert first["masked_kl_to_truth"] == pytest.approx(first["kl_to_truth"])


def test_gaps_are_differences_of_cross_entropies(tokenizer: SFTok) -> None:
    gaps = ContextGaps((0.5,))
    gaps.update(tokenizer, *batch(), seeded())
    values = gaps.compute()[0.5]
    assert values["information_gain"] == pytest.approx(values["ce_single"] - values["ce_true"])
    assert values["exposure_gap"] == pytest.approx(values["ce_own"] - values["ce_true"])
    assert values["information_gain"] == pytest.approx(values["computation_gain"] + values["exposure_gap"])


def test_contexts_coincide_where_the_prediction_is_the_truth(tokenizer: SFTok) -> None:
    ids, _ = batch()
    quantized = tokenizer.quantizer.lookup(ids)
    hidden = torch.full((len(ids), CODES), tokenizer.decoder.mask_id)
    with torch.no_grad():
        codes = tokenizer.decoder(hidden, quantized).argmax(-1)
    gaps = ContextGaps((0.25, 0.75))
    gaps.update(tokenizer, ids, codes, seeded())
    for values in gaps.compute().values():
        assert values["exposure_gap"] == 0.0
        assert values["accuracy_single"] == 1.0


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_fraction_that_leaves_nothing_to_measure_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ContextGaps((fraction,))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(0, 30))
def test_running_means_agree_for_any_split(values: list[float], cut: int) -> None:
    whole, left, right = RunningMeans(), RunningMeans(), RunningMeans()
    whole.update("x", torch.tensor(values, dtype=torch.float64))
    left.update("x", torch.tensor(values[:cut], dtype=torch.float64))
    right.update("x", torch.tensor(values[cut:], dtype=torch.float64))
    left.merge(right)
    assert left.compute()["x"] == pytest.approx(whole.compute()["x"])
