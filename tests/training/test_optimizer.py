"""Learning rate and parameter groups."""

from __future__ import annotations

import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sftok.config import ConfigError
from sftok.tokenizers.sftok import SFTok
from sftok.training.optimizer import OptimizerConfig, adamw, learning_rate

PAPER = OptimizerConfig()


def test_known_values_of_table_6() -> None:
    total = 200_000
    assert learning_rate(0, total, PAPER) == pytest.approx(1e-8)
    assert learning_rate(9_999, total, PAPER) == pytest.approx(1e-4)
    middle = 10_000 + (total - 10_000) // 2
    assert learning_rate(middle, total, PAPER) == pytest.approx((1e-4 + 1e-5) / 2)
    assert learning_rate(total, total, PAPER) == pytest.approx(1e-5)


@given(total=st.integers(1, 5000), warmup=st.integers(0, 5000), step=st.integers(0, 5000))
def test_the_rate_stays_within_its_bounds(total: int, warmup: int, step: int) -> None:
    config = OptimizerConfig(learning_rate=1.0, end_learning_rate=0.1, warmup_steps=warmup)
    rate = learning_rate(min(step, total), total, config)
    assert 0 < rate <= 1.0
    if step >= min(warmup, total // 2):
        assert rate >= 0.1 - 1e-12


def test_norms_biases_and_embeddings_are_not_decayed() -> None:
    module = nn.ModuleDict({"linear": nn.Linear(2, 2), "norm": nn.LayerNorm(2), "embed": nn.Embedding(3, 2)})
    config = OptimizerConfig(beta1=0.8, beta2=0.95)
    decayed, exempt = adamw(module.named_parameters(), config).param_groups
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(2, 2)]
    assert len(exempt["params"]) == 4
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (1e-4, 0.0)
    assert decayed["betas"] == exempt["betas"] == (0.8, 0.95)


def test_an_end_rate_above_the_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="end_learning_rate"):
        OptimizerConfig.build({"learning_rate": 1e-5, "end_learning_rate": 1e-4})


def test_the_tokenizer_decays_what_the_release_decays() -> None:
    tokenizer = SFTok.from_config(small_models.smaller_sftok_config())
    names = {id(parameter): name for name, parameter in tokenizer.named_parameters()}
    decayed, _ = adamw(tokenizer.named_parameters(), PAPER).param_groups
    found = {names[id(each)] for each in decayed["params"]}
    outside = {
        name for name in found if "pixel_decoder" not in name and (".0." not in name or "head" in name)
    }
    assert outside == {
        "encoder.to_latents.weight",
        "quantizer.shared_linear.weight",
        "decoder.head.0.weight",
        "decoder.head.2.weight",
    }
