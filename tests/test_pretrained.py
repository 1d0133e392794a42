"""Published weights: found or asked for in one clear line, checked, and never unpickled blindly."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import lpips
import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.components import Component
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.losses.efficientnet_lite0 import EfficientNetLoss
from sftok.losses.lpips import LpipsAlexConfig, LpipsLoss, LpipsVGGConfig, lpips_network
from sftok.losses.perceptual import PerceptualConfig
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig, dino_vit_small
from sftok.models.discriminator import DiscriminatorConfig
from sftok.models.efficientnet_lite0 import ProjectedDiscriminator, efficientnet_lite0
from sftok.pretrained import PretrainedError


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub, so that nothing depends on what a machine has."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


def small_vit() -> VisionTransformer:
    return VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=3, num_heads=2, num_classes=0)


@pytest.fixture
def tiny_dino(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random weights for a tiny ViT, which stands in the place of ViT-S/16."""
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: small_vit())
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator)
        for name, value in small_vit().state_dict().items()
    }


def assert_holds(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_missing_weights_are_asked_for(hub: Path) -> None:
    with pytest.raises(
        PretrainedError, match=r"DINO ViT-S/16: no weights at .*; download https://.*, or pass its"
    ):
        dino_vit_small()
    for net, file in (("vgg", "vgg16-397923af.pth"), ("alex", "alexnet-owt-7be5be79.pth")):
        with pytest.raises(
            PretrainedError, match=rf"LPIPS \({net}\): no weights at {hub}/{file}; download https://"
        ):
            lpips_network(net)
    with pytest.raises(PretrainedError, match=r"no weights at .*elsewhere\.pth"):
        dino_vit_small(hub / "elsewhere.pth")


def test_dino_from_the_hub_cache(hub: Path, tiny_dino: dict[str, torch.Tensor]) -> None:
    torch.save(tiny_dino, hub / "dino_deitsmall16_pretrain.pth")
    assert_holds(dino_vit_small(), tiny_dino)


def test_dino_from_safetensors(tmp_path: Path, tiny_dino: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "dino.safetensors"
    safetensors.torch.save_file(tiny_dino, path)
    assert_holds(dino_vit_small(path), tiny_dino)


def test_weights_of_another_network_are_refused(tmp_path: Path, tiny_dino: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "other.pth"
    torch.save({"norm.weight": torch.ones(3)}, path)
    for load in (dino_vit_small, lpips_network, efficientnet_lite0):
        arguments = {"weights": path}
        with pytest.raises(PretrainedError, match=r"other\.pth (is damaged or another|cannot be used)"):
            load(**arguments)


def test_a_cut_file_is_refused(tmp_path: Path, tiny_dino: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "cut.pth"
    torch.save(tiny_dino, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(PretrainedError, match=r"cut\.pth is damaged"):
        dino_vit_small(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "touched",)

    path = tmp_path / "attack.pth"
    path.write_bytes(pickle.dumps({"cls_token": Attack()}, protocol=2))
    with pytest.raises(PretrainedError, match=r"attack\.pth is damaged"):
        dino_vit_small(path)
    assert not (tmp_path / "touched").exists()


def test_lpips_is_the_packages_own(hub: Path) -> None:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = reference.net.state_dict()
    given = {f"features.{name.partition('.')[2]}": value for name, value in trunk.items()}
    torch.save(given | {"classifier.1.bias": torch.zeros(3)}, hub / "alexnet-owt-7be5be79.pth")
    network = lpips_network("alex")
    left, right = torch.rand(2, 2, 3, 35, 35, generator=torch.Generator().manual_seed(0))
    expected = reference(left, right, normalize=True)
    assert torch.equal(network(left, right, normalize=True), expected)
    assert expected.min() > 0


def test_the_embedded_efficientnet_is_evaluations() -> None:
    network = efficientnet_lite0()
    measures = EfficientNetLite0Config(resolution=64).build().network.network
    assert_holds(network, measures.state_dict())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_dino_discriminator_holds_the_published_weights(
    hub: Path, tiny_dino: dict[str, torch.Tensor]
) -> None:
    torch.save(tiny_dino, hub / "dino_deitsmall16_pretrain.pth")
    config = DinoDiscriminatorConfig(depths=(1,))
    config.check_weights()
    heads = config.build()
    assert isinstance(heads, DinoDiscriminator)
    assert_holds(heads.features.network.module, tiny_dino)


def test_parts_on_the_embedded_network_are_built_as_configured() -> None:
    heads = DiscriminatorConfig.member_of({"name": "efficientnet-lite0", "resolution": 48}).build()
    assert isinstance(heads, ProjectedDiscriminator)
    assert heads.features.resolution == 48
    config = PerceptualConfig.member_of({"name": "efficientnet-lite0", "resolution": 32})
    config.check_weights()
    loss = config.build()
    assert isinstance(loss, EfficientNetLoss)
    assert loss.features.resolution == 32


@pytest.mark.parametrize(("config", "smallest"), [(LpipsVGGConfig(), 16), (LpipsAlexConfig(), 32)])
def test_lpips_is_built_as_configured(
    monkeypatch: pytest.MonkeyPatch, config: PerceptualConfig, smallest: int
) -> None:
    asked = []
    monkeypatch.setattr("sftok.losses.lpips.lpips_network", lambda net: asked.append(net) or nn.Identity())
    loss = config.build()
    assert isinstance(loss, LpipsLoss)
    assert (f"lpips-{asked[0]}", loss.smallest) == (config.reference, smallest)


@pytest.mark.parametrize(
    ("family", "name", "network"),
    [
        (PerceptualConfig, "lpips-vgg", "LPIPS (vgg)"),
        (PerceptualConfig, "lpips-alex", "LPIPS (alex)"),
        (DiscriminatorConfig, "dino", "DINO ViT-S/16"),
    ],
)
def test_a_check_of_weights_names_the_missing_network(
    family: type[Component], name: str, network: str
) -> None:
    with pytest.raises(PretrainedError) as caught:
        family.member_of(name).check_weights()
    assert str(caught.value).startswith(f"{network}: no weights at ")
