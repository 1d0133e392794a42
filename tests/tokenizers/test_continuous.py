"""Tokenizers whose latents stay continuous: LDM-4 and DC-AE, small."""

from __future__ import annotations

import pytest
import torch
from small_models import seeded
from torch import nn

from sftok import extras
from sftok.models.autoencoders.dc_ae import DCAEConfig
from sftok.models.autoencoders.ldm import LDMConfig
from sftok.quantizers.gaussian import GaussianConfig
from sftok.quantizers.identity import IdentityConfig
from sftok.quantizers.late_vq import LateVQConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig

LDM = PixelTokenizerConfig(
    image_size=12,
    autoencoder=LDMConfig(hidden_channels=8, channel_multipliers=(1, 1, 2), num_res_blocks=1, norm_groups=4),
    quantizer=GaussianConfig(),
    latent_dim=3,
)
DC_AE = PixelTokenizerConfig(
    image_size=12,
    autoencoder=DCAEConfig(
        channels=(8, 8, 16),
        encoder_blocks=(0, 1, 1),
        decoder_blocks=(0, 1, 1),
        attention_stages=1,
        head_dim=8,
    ),
    quantizer=IdentityConfig(),
    latent_dim=4,
)
LATE = LDM.model_copy(update={"quantizer": LateVQConfig(codebook_size=16)})
ALL = pytest.mark.parametrize("config", [LDM, LATE, DC_AE], ids=["ldm", "ldm-vq", "dc-ae"])


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 12, 12, generator=seeded())


@ALL
def test_latents_stand_in_the_place_of_ids(config):
    tokenizer = PixelTokenizer(config).eval()
    latents = tokenizer.encode(images())
    assert latents.shape == (4, config.num_tokens, config.latent_dim)
    assert latents.dtype == torch.float32
    assert config.codebook_size == 0
    assert config.bits_per_image == 32 * latents[0].numel()
    decoded = tokenizer.decode(latents)
    assert decoded.shape == (4, 3, 12, 12)
    torch.testing.assert_close(decoded, tokenizer(images())[0].clamp(0, 1))


@ALL
def test_a_saved_tokenizer_comes_back_bit_for_bit(config, tmp_path):
    tokenizer = PixelTokenizer(config, seeded(3)).eval()
    again = PixelTokenizer.from_pretrained(tokenizer.save_pretrained(tmp_path))
    assert again.record == config
    latents = tokenizer.encode(images())
    assert torch.equal(again.encode(images()), latents)
    assert torch.equal(again.decode(latents), tokenizer.decode(latents))


@ALL
def test_a_few_updates_lower_the_error_and_every_weight_has_a_gradient(config):
    tokenizer = PixelTokenizer(config, seeded(1)).train()
    optimizer = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    errors = []
    for step in range(15):
        made, quantized = tokenizer(images(), seeded(step))
        error = nn.functional.mse_loss(made, images())
        optimizer.zero_grad()
        (error + quantized.loss).backward()
        if not step:
            assert all(weight.grad is not None for weight in tokenizer.parameters())
        optimizer.step()
        errors.append(float(error))
    assert errors[-1] < 0.7 * errors[0]


@ALL
def test_a_missing_library_is_one_line_that_names_the_extra(config, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    message = r"diffusers, which is not installed: run pip install 'sftok\[diffusion\]'"
    for fails in (config.autoencoder.check_weights, lambda: PixelTokenizer(config)):
        with pytest.raises(extras.MissingLibraryError, match=message):
            fails()
