"""diffusers' own reconstruction of the same images is what is measured."""

from __future__ import annotations

import sys

import pytest
import torch

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch
from sftok.evaluation.subjects.base import SubjectError
from sftok.evaluation.subjects.diffusers import DiffusersConfig, is_diffusers

SMALL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
DOWN = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


@pytest.fixture
def saved(tmp_path):
    diffusers = pytest.importorskip("diffusers")

    def save(kind: str, **more):
        torch.manual_seed(0)
        model = getattr(diffusers, kind)(**(more or {**SMALL, **DOWN})).eval()
        model.save_pretrained(tmp_path / kind)
        return model, DiffusersConfig(location=str(tmp_path / kind))

    return save


def reconstructed(config: DiffusersConfig, images: MemoryImageSet):
    measured = config.open().on(images).measured
    batch = Batch(images.pixels / 255, images.targets, torch.arange(len(images)))
    with torch.no_grad():
        if hasattr(measured, "encode"):
            ids = measured.encode(batch.images)
            return ids, measured.decode(ids), measured
        (decoding,) = measured.decodings(None, "it")
        found = decoding.decode(batch, None)
        return found.bits, found.images, measured


def test_a_kl_autoencoder_is_measured_at_the_mean_of_its_posterior(saved, images) -> None:
    model, config = saved("AutoencoderKL")
    bits, found, _ = reconstructed(config, images)
    with torch.no_grad():
        expected = model(images.pixels / 127.5 - 1, sample_posterior=False).sample
    torch.testing.assert_close(found, (expected / 2 + 0.5).clamp(0, 1), atol=1e-5, rtol=0)
    assert set(bits.tolist()) == {4 * 8 * 8 * 32}


def test_a_vq_model_has_ids_and_its_own_reconstruction(saved, images) -> None:
    model, config = saved("VQModel", **SMALL, **DOWN, num_vq_embeddings=16, latent_channels=3)
    ids, found, measured = reconstructed(config, images)
    assert ids.shape == (len(images), 64)
    assert measured.codebook_size == 16
    with torch.no_grad():
        expected = model(images.pixels / 127.5 - 1).sample
    torch.testing.assert_close(found, (expected / 2 + 0.5).clamp(0, 1), atol=1e-5, rtol=0)


def test_a_deep_compression_autoencoder_is_measured(saved, images) -> None:
    blocks = {f"{side}_block_types": ("ResBlock", "ResBlock") for side in ("encoder", "decoder")}
    widths = {f"{side}_block_out_channels": (8, 16) for side in ("encoder", "decoder")}
    layers = {f"{side}_layers_per_block": (1, 1) for side in ("encoder", "decoder")}
    model, config = saved("AutoencoderDC", latent_channels=4, **blocks, **widths, **layers)
    bits, found, _ = reconstructed(config, images)
    with torch.no_grad():
        expected = model(images.pixels / 127.5 - 1).sample
    torch.testing.assert_close(found, (expected / 2 + 0.5).clamp(0, 1), atol=1e-5, rtol=0)
    assert bits[0] == 4 * (16 // model.spatial_compression_ratio) ** 2 * 32


def test_a_folder_is_recognized_and_its_weights_are_its_identity(saved, images, tmp_path) -> None:
    model, config = saved("AutoencoderKL")
    assert is_diffusers(tmp_path / "AutoencoderKL")
    assert not is_diffusers(tmp_path)
    before = config.open().on(images).identity
    assert config.open().on(images).identity == before
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(tmp_path / "AutoencoderKL")
    assert config.open().on(images).identity != before


def test_pickled_weights_and_sizes_that_do_not_fit_are_refused(saved, make_images, tmp_path) -> None:
    model, config = saved("AutoencoderKL")
    odd = make_images(3)
    odd = MemoryImageSet("odd", odd.class_names, odd.pixels[..., :15, :15], odd.targets)
    with pytest.raises(SubjectError, match=r"multiple of 2, these have 15; --set data.image_size=16"):
        config.open().on(odd)
    weights = tmp_path / "AutoencoderKL" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save(model.state_dict(), weights.with_suffix(".bin"))
    with pytest.raises(SubjectError, match="cannot be loaded by diffusers") as caught:
        config.open()
    assert "\n" not in str(caught.value)


def test_without_diffusers_the_extra_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SubjectError, match=r"needs diffusers; pip install 'sftok\[diffusion\]'"):
        DiffusersConfig(location=str(tmp_path)).open()
