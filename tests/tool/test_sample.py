"""`sample` writes what `generate` draws, in ADM's format, which `evaluate` and this package read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_models
import torch

from sftok.__main__ import main
from sftok.data.npz import images_of
from sftok.decoding.guidance import GenerationConfig
from sftok.generation import generate
from sftok.generators.base import Generator, GeneratorConfig, GeneratorRecord
from sftok.generators.diffusion_uvit import UViTConfig
from sftok.generators.llamagen import LlamaGenConfig
from sftok.generators.maskgit import MaskGITGenerator
from sftok.models.autoencoders.ldm import LDMConfig
from sftok.quantizers.identity import IdentityConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig
from sftok.tokenizers.sftok import SFTok

CLASSES = 3


@pytest.fixture
def generator(tokenizer: SFTok, tmp_path: Path) -> str:
    record = small_models.generator_record(tokenizer.num_tokens, tokenizer.codebook_size, CLASSES)
    model = small_models.perturbed(MaskGITGenerator.from_config(record))
    return str(model.save_pretrained(tmp_path / "generator"))


def sample(generator: str, checkpoint: str, output: Path, *more: object) -> int:
    line = ["sample", "--generator", generator, "--checkpoint", checkpoint, "-o", str(output)]
    return main([*line, "--device", "cpu", *map(str, more)])


def test_it_writes_what_generate_draws_for_every_class_in_turn(
    generator, checkpoint, tokenizer, tmp_path
) -> None:
    output = tmp_path / "samples.npz"
    assert (
        sample(generator, checkpoint, output, "--number", 5, "--batch-size", 2, "--steps", 3, "--seed", 7)
        == 0
    )
    noise, config = torch.Generator().manual_seed(7), GenerationConfig(steps=3)
    model, labels = MaskGITGenerator.from_pretrained(generator), torch.arange(5) % CLASSES
    expected = [
        generate(model, lambda ids, noise: tokenizer.decode(ids, generator=noise), part, config, noise).images
        for part in labels.split(2)
    ]
    found = images_of(output)
    assert (found == (torch.cat(expected) * 255).byte().permute(0, 2, 3, 1).numpy()).all()
    with np.load(output, allow_pickle=False) as archive:
        assert archive["arr_0"].shape == found.shape
        assert archive["arr_1"].tolist() == labels.tolist()


def test_a_generator_of_other_tokens_and_another_suffix_are_refused(
    generator, checkpoint, teacher, tmp_path, capsys
) -> None:
    assert sample(generator, teacher, tmp_path / "samples.npz", "--number", 2) == 2
    assert "give the tokenizer that it was trained with" in capsys.readouterr().err
    assert sample(generator, checkpoint, tmp_path / "samples.zip", "--number", 2) == 2
    assert "must end in .npz" in capsys.readouterr().err
    assert sample(generator, checkpoint, tmp_path / "s.npz", "--number", 2, "--guidance-schedule", "x") == 2
    assert "unknown guidance schedule 'x'" in capsys.readouterr().err
    assert not list(tmp_path.glob("s*.npz"))


def saved(folder: Path, config: GeneratorConfig, **shape: int) -> str:
    record = GeneratorRecord(model=config, num_classes=CLASSES, **shape)
    return str(Generator.from_config(record).save_pretrained(folder))


def test_an_option_without_effect_is_refused(teacher, tmp_path, capsys) -> None:
    config = LlamaGenConfig(width=32, depth=1, heads=2)
    model = saved(tmp_path / "llamagen", config, num_tokens=16, vocabulary=24)
    assert sample(model, teacher, tmp_path / "s.npz", "--number", 2, "--steps", 5) == 2
    assert "--steps: this generator always samples in 16 steps" in capsys.readouterr().err
    assert sample(model, teacher, tmp_path, "--number", 2) == 2
    assert "is a folder; choose a file for the images" in capsys.readouterr().err


def test_latents_are_sampled_and_decoded(tmp_path, capsys) -> None:
    network = LDMConfig(hidden_channels=4, channel_multipliers=(1, 1), num_res_blocks=1, norm_groups=2)
    parts = {"autoencoder": network, "quantizer": IdentityConfig(), "latent_dim": 4}
    autoencoder = PixelTokenizer.from_config(PixelTokenizerConfig(image_size=8, **parts))
    checkpoint = str(autoencoder.save_pretrained(tmp_path / "autoencoder"))
    denoiser = UViTConfig(width=16, depth=2, heads=2, sampling_steps=2)
    model = saved(tmp_path / "uvit", denoiser, num_tokens=autoencoder.num_tokens, latent_dim=4)
    assert sample(model, checkpoint, tmp_path / "s.npz", "--number", 2, "--temperature", 1) == 2
    assert "--temperature: this generator has none" in capsys.readouterr().err
    assert sample(model, checkpoint, tmp_path / "s.npz", "--number", 2) == 0
    assert images_of(tmp_path / "s.npz").shape == (2, 8, 8, 3)
