"""Published weights: found or requested in one clear line, checked, and never unpickled blindly."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import lpips
import pytest
import safetensors.torch
import timm
import torch
from small_models import Malicious, draw
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.io.published import PretrainedError
from sftok.losses.lpips import LpipsLoss, lpips_network
from sftok.losses.perceptual import PerceptualConfig
from sftok.models.dino import DinoDiscriminatorConfig, dino_vit_small
from sftok.models.efficientnet_lite0 import efficientnet_lite0

Weights = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub, so that nothing depends on what a machine has."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


@pytest.fixture
def tiny_dino(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Random weights for a tiny ViT, which takes the place of ViT-S/16."""
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 12, "depth": 3, "num_heads": 2}
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: VisionTransformer(**shape, num_classes=0))
    return {name: draw(*value.shape) for name, value in timm.create_model().state_dict().items()}


def assert_holds(network: nn.Module, weights: Weights) -> None:
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_dino_is_loaded_from_the_hub_cache_or_a_path(hub: Path, tiny_dino: Weights) -> None:
    safetensors.torch.save_file(tiny_dino, hub / "dino.safetensors")
    assert_holds(dino_vit_small(hub / "dino.safetensors"), tiny_dino)
    torch.save(tiny_dino, hub / "dino_deitsmall16_pretrain.pth")
    config = DinoDiscriminatorConfig(depths=(1,))
    config.check_weights()
    assert_holds(config.build().network.module, tiny_dino)


@pytest.mark.parametrize("load", [dino_vit_small, lpips_network, efficientnet_lite0])
def test_weights_of_another_network_are_refused(hub, tiny_dino, load: Callable[..., nn.Module]):
    torch.save({"norm.weight": torch.ones(3)}, hub / "other.pth")
    with pytest.raises(PretrainedError, match=r"other\.pth (is damaged or another|cannot be used)"):
        load(weights=hub / "other.pth")


def test_truncated_files_are_refused_and_code_in_a_file_is_not_run(hub: Path, tiny_dino: Weights) -> None:
    torch.save(tiny_dino, hub / "whole.pth")
    attack = pickle.dumps({"cls_token": Malicious(hub / "ran")}, protocol=2)
    for content in (attack, (hub / "whole.pth").read_bytes()[:-200]):
        (hub / "bad.pth").write_bytes(content)
        with pytest.raises(PretrainedError, match=r"bad\.pth is damaged"):
            dino_vit_small(hub / "bad.pth")
    assert not (hub / "ran").exists()


def test_lpips_is_the_packages_own(hub: Path) -> None:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = reference.net.state_dict()
    given = {f"features.{name.partition('.')[2]}": value for name, value in trunk.items()}
    torch.save(given | {"classifier.1.bias": torch.zeros(3)}, hub / "alexnet-owt-7be5be79.pth")
    loss = PerceptualConfig.member_of("lpips-alex").build()
    assert isinstance(loss, LpipsLoss)
    assert loss.smallest == 32
    left, right = torch.rand(2, 2, 3, 35, 35, generator=torch.Generator().manual_seed(0))
    expected = reference(left, right, normalize=True)
    assert torch.equal(loss.network(left, right, normalize=True), expected)
    assert expected.min() > 0


def test_the_embedded_efficientnet_is_evaluations() -> None:
    network = efficientnet_lite0()
    measures = EfficientNetLite0Config(resolution=64).build().network.network
    assert_holds(network, measures.state_dict())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
