"""Continuous latents: the posterior's sample, mean and divergence; and latents as they are."""

from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.distributed.world import World
from sftok.models.decoder import ViTDecoderConfig
from sftok.quantizers.gaussian import Gaussian, GaussianConfig
from sftok.quantizers.identity import IdentityConfig
from sftok.tokenizers.sftok import LatentTokenizerConfig


def test_a_sample_is_the_mean_plus_noise_of_the_generator(continuous_numbers):
    mean, log_variance, noise = (
        continuous_numbers[f"ldm_kl.{name}"].flatten(2).transpose(1, 2)
        for name in ("out.mean", "out.log_variance", "in.noise")
    )
    quantizer = GaussianConfig().build(3).train()
    moments = torch.cat([mean, log_variance], -1)
    drawn = torch.randn(mean.shape, generator=seeded(5))
    out = quantizer(moments, seeded(5)).quantized
    assert_close(out, mean + (log_variance / 2).exp() * drawn)
    expected = continuous_numbers["ldm_kl.out.sample"].flatten(2).transpose(1, 2)
    assert_close(out - (log_variance / 2).exp() * (drawn - noise), expected)


def test_evaluation_takes_the_mean_and_draws_nothing():
    moments, quantizer = draw(2, 5, 6), GaussianConfig().build(3).eval()
    out = quantizer(moments)
    assert torch.equal(out.quantized, moments[..., :3])
    assert torch.equal(quantizer.lookup(quantizer.assign(moments)), moments[..., :3])
    assert out.ids.shape == (2, 0)
    with pytest.raises(RuntimeError, match="give a generator"):
        quantizer.train()(moments)


def test_the_divergence_is_zero_for_the_prior_alone():
    zero = torch.zeros(2, 5, 3)
    assert Gaussian.divergence(zero, zero).eq(0).all()
    assert (Gaussian.divergence(draw(2, 5, 3), draw(2, 5, 3, seed=1)) > 0).all()


def test_the_loss_pulls_to_the_prior_with_its_weight():
    moments = draw(2, 5, 6).requires_grad_()
    losses = [GaussianConfig(kl_weight=weight).build(3).eval()(moments).loss for weight in (1.0, 0.5, 0.0)]
    assert_close(losses[0], 2 * losses[1])
    assert losses[2] == 0
    losses[0].backward()
    assert_close(moments.grad[..., :3], moments.detach()[..., :3] / 30)
    assert_close(moments.grad[..., 3:], (moments.detach()[..., 3:].exp() - 1) / 60)


def test_processes_together_draw_what_one_draws_alone():
    moments, quantizer = draw(4, 5, 6), GaussianConfig().build(3).train()
    whole = quantizer(moments, seeded(3)).quantized
    parts = [
        quantizer(moments[2 * rank : 2 * rank + 2], seeded(3), World(rank=rank, size=2)).quantized
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_the_identity_keeps_latents_and_their_gradient():
    latents, quantizer = draw(2, 5, 3).requires_grad_(), IdentityConfig().build(3).train()
    out = quantizer(latents)
    assert torch.equal(out.quantized, latents)
    assert out.loss == 0
    out.quantized.sum().backward()
    assert latents.grad.eq(1).all()


@pytest.mark.parametrize("config", [GaussianConfig(), IdentityConfig()])
def test_a_1d_tokenizer_of_ids_refuses_continuous_latents(config):
    with pytest.raises(ValueError, match="gives no ids"):
        LatentTokenizerConfig(quantizer=config, decoder=ViTDecoderConfig())
