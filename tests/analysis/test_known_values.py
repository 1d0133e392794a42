"""Known values: decoders written by hand, whose divergences and cross-entropies follow on paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import seeded
from torch import Tensor, nn

from sftok.analysis.contexts import CONTEXTS, Context, ContextStatistics
from sftok.analysis.running import RunningMeans
from sftok.analysis.steps import StepStatistics
from sftok.decoding.schedule import DecodingConfig
from sftok.models.decoder import Decoder
from sftok.tokenizers.sftok import SFTok

CODES, VOCABULARY, IMAGES = 8, 2, 6

SURE = 20.0
"""A logit so far ahead that its softmax is 1 to eight digits."""

Rule = Callable[[Tensor, Tensor], Tensor]
"""Visible codes `[B, N]` (V where masked) and token vectors `[B, K, 1]` to logits `[B, N, V]`."""


class ByRule(Decoder):
    """A decoder that follows a rule instead of weights."""

    def __init__(self, rule: Rule) -> None:
        nn.Module.__init__(self)
        self.num_codes, self.vocabulary = CODES, VOCABULARY
        self.rule = rule

    def forward(self, codes: Tensor, quantized: Tensor) -> Tensor:
        return self.rule(codes, quantized)


class Ids(nn.Module):
    """A quantizer whose vectors are the ids themselves."""

    codebook_size = VOCABULARY

    def lookup(self, ids: Tensor) -> Tensor:
        return ids.unsqueeze(-1).float()


def tokenizer(rule: Rule) -> SFTok:
    encoder = nn.Identity()
    encoder.num_latent_tokens = 1  # type: ignore[assignment]
    return SFTok(encoder, Ids(), ByRule(rule), nn.Identity())  # type: ignore[arg-type]


def sure_of(codes: Tensor) -> Tensor:
    return SURE * nn.functional.one_hot(codes, VOCABULARY).float()


def the_token(codes: Tensor, quantized: Tensor) -> Tensor:
    """Every code is the token: a function of the ids."""
    return sure_of(quantized[:, :1, 0].long().expand_as(codes))


def the_visible_ones(codes: Tensor, quantized: Tensor) -> Tensor:
    """All codes of an image are alike and the token says nothing: a guess, until one of them is visible."""
    seen = torch.where(codes == VOCABULARY, -1, codes).amax(1, keepdim=True).expand_as(codes)
    guess = torch.zeros(*codes.shape, VOCABULARY)
    return torch.where((seen >= 0).unsqueeze(-1), sure_of(seen.clamp(min=0)), guess)


def always(share: float) -> Rule:
    """The same distribution everywhere: `share` for code 0."""
    return lambda codes, quantized: torch.tensor([share, 1 - share]).log().expand(*codes.shape, VOCABULARY)


def alike() -> tuple[Tensor, Tensor]:
    """Half of the images are all zeros, the others all ones; tokens say which."""
    kinds = torch.arange(IMAGES) % 2
    return kinds.unsqueeze(1), kinds.unsqueeze(1).expand(IMAGES, CODES).clone()


def contexts(rule: Rule, ids: Tensor, codes: Tensor, of: tuple[Context, ...] = CONTEXTS) -> dict[str, Any]:
    """Gaps by name, and the quantities of each context by its name: `found["own"]["accuracy"]`."""
    statistics = ContextStatistics((0.5,), of)
    statistics.update(tokenizer(rule), ids, codes, seeded())
    found: dict[str, Any] = {}
    for metric, coordinates, value in statistics.compute():
        assert coordinates["visible"] == 0.5
        context = coordinates.get("context")
        (found if context is None else found.setdefault(context, {}))[metric] = value
    return found


def steps(rule: Rule, count: int, positions: str = "all") -> list[dict[str, float]]:
    """The values of all positions, or of the masked ones, at each step."""
    statistics = StepStatistics(DecodingConfig(steps=count, temperature=0.0))
    statistics.update(tokenizer(rule), *alike(), seeded())
    found: list[dict[str, float]] = [{} for _ in range(count)]
    for metric, coordinates, value in statistics.compute():
        assert (coordinates["steps"], coordinates["temperature"]) == (count, 0.0)
        if coordinates["positions"] == positions:
            found[coordinates["step"] - 1][metric] = value
    return found


def test_where_codes_are_a_function_of_the_ids_no_context_gains_anything() -> None:
    found = contexts(the_token, *alike())
    for context in CONTEXTS:
        assert found[context]["cross_entropy"] == pytest.approx(0, abs=1e-6)
        assert found[context]["accuracy"] == 1.0
    for gap in ("information_gain", "computation_gain", "second_pass_gain", "exposure_gap"):
        assert found[gap] == pytest.approx(0, abs=1e-6)


def test_true_codes_are_worth_a_bit_and_own_codes_nothing_but_error() -> None:
    # H(m|Z) = log 2 and H(m|Z, true codes) = 0. The first prediction is always 0 (a tie), so a decoder that
    # trusts it is right for half of the images and sure of the wrong code for the others.
    found = contexts(the_visible_ones, *alike())
    assert found["single"]["cross_entropy"] == pytest.approx(math.log(2))
    assert found["true"]["cross_entropy"] == pytest.approx(0, abs=1e-6)
    assert found["information_gain"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["own"]["cross_entropy"] == pytest.approx(SURE / 2)
    assert found["computation_gain"] < 0
    assert found["exposure_gap"] == pytest.approx(SURE / 2)
    assert found["own"]["accuracy"] == found["single"]["accuracy"] == 0.5
    assert found["true"]["accuracy"] == 1.0
    # C.2: E[max p] is 1/2 for a guess and 1 for a certainty, right or wrong.
    assert found["single"]["accuracy_bound"] == pytest.approx(0.5)
    assert found["true"]["accuracy_bound"] == found["own"]["accuracy_bound"] == pytest.approx(1.0)
    alone = contexts(the_visible_ones, *alike(), of=("single",))
    assert alone == {"single": found["single"]}, "only the contexts that are asked for"


def test_a_decoder_that_ignores_its_context_has_its_final_prediction_at_every_step() -> None:
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    for step in steps(always(0.75), 4):
        assert step["kl_to_truth"] == pytest.approx(expected)
        assert step["kl_to_final"] == pytest.approx(0, abs=1e-7)
        assert step["accuracy"] == 0.5
        assert step["agreement_with_final"] == 1.0


def test_the_divergence_of_two_known_distributions() -> None:
    # First (all masked) 0.75, then 0.5: KL(p_T || p_1) = log(0.5/0.75)/2 + log(0.5/0.25)/2.
    def rule(codes: Tensor, quantized: Tensor) -> Tensor:
        masked = bool((codes == VOCABULARY).all())
        return always(0.75 if masked else 0.5)(codes, quantized)

    first, last = steps(rule, 2)
    assert first["kl_to_final"] == pytest.approx((math.log(0.5 / 0.75) + math.log(0.5 / 0.25)) / 2, abs=1e-6)
    assert last["kl_to_final"] == pytest.approx(0, abs=1e-7)


def test_steps_differ_between_all_and_masked_positions_once_a_code_is_visible() -> None:
    everywhere, masked = (steps(the_visible_ones, 4, positions) for positions in ("all", "masked"))
    assert masked[0] == everywhere[0], "at the first step everything is masked"
    # From the second step on, masked positions follow the visible zeros, wrong for every other image.
    assert masked[1]["accuracy"] == 0.5
    assert masked[-1]["agreement_with_final"] == 1.0


@pytest.mark.parametrize(
    "new", [lambda: StepStatistics(DecodingConfig(steps=3, temperature=0.0)), ContextStatistics]
)
def test_merged_parts_are_the_whole(new: Callable[[], Any]) -> None:
    ids, codes = alike()
    whole, left, right = new(), new(), new()
    decoder = tokenizer(the_token)
    for part, chosen in ((whole, slice(None)), (left, slice(2)), (right, slice(2, None))):
        part.update(decoder, ids[chosen], codes[chosen], seeded())
    left.merge(right)
    for one, other in zip(left.compute(), whole.compute(), strict=True):
        assert one == (other.metric, other.coordinates, pytest.approx(other.value, abs=1e-6))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(0, 30))
def test_running_means_agree_for_any_split(values: list[float], cut: int) -> None:
    whole, left, right = RunningMeans(), RunningMeans(), RunningMeans()
    for means, part in ((whole, values), (left, values[:cut]), (right, values[cut:])):
        means.update("x", torch.tensor(part, dtype=torch.float64), step=1)
    left.merge(right)
    (merged,), (expected,) = left.compute(), whole.compute()
    assert merged == ("x", {"step": 1}, pytest.approx(expected.value))
