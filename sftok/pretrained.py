"""Networks with published weights, and the losses of stage 3 that look through their eyes.

Nothing is downloaded: weights come from an installed package, from a path, or from the place in torch's hub
cache where torch itself would put them; otherwise an error names the file and what to fetch.
"""

from __future__ import annotations

import importlib.resources
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import lpips
import safetensors.torch
import timm
import torch
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, VGG16_Weights

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.extractors import EfficientNetLite0Extractor
from sftok.losses.perceptual import EfficientNetLoss, LpipsLoss, PerceptualConfig, PerceptualLoss
from sftok.models.discriminator import (
    DinoDiscriminator,
    DinoDiscriminatorConfig,
    Discriminator,
    DiscriminatorConfig,
    ProjectedDiscriminator,
)
from sftok.models.features import EfficientNetFeatures

DINO_URL = "https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth"
"""DINO ViT-S/16; timm's `vit_small_patch16_224.dino` holds the same tensors under the same names."""

LPIPS_URLS = {"vgg": VGG16_Weights.IMAGENET1K_V1.url, "alex": AlexNet_Weights.IMAGENET1K_V1.url}
"""The ImageNet weights under LPIPS by network; its own linear weights are in the `lpips` package."""

_SMALLEST_SIDES = {"vgg": 16, "alex": 32}

LpipsNetwork = Literal["vgg", "alex"]


class PretrainedError(RuntimeError):
    """Weights that are not at hand or not the network's; one line: what, where, and the remedy."""


def efficientnet_lite0(weights: Path | None = None) -> nn.Module:
    """EfficientNet-Lite0 with the ImageNet weights that its package embeds, batch norms folded, frozen.

    The network is timm's but for its batch norms, and is what evaluation measures with.

    Raises:
        PretrainedError: the package is not installed, or `weights` are another network's.
    """
    path = None if weights is None else str(weights)
    try:
        network = EfficientNetLite0Extractor("efficientnet-lite0@224", ["1280"], path).network
    except EvaluationError as error:
        raise PretrainedError(str(error)) from None
    except Exception as error:  # unpickling a damaged file raises anything it likes
        raise PretrainedError(f"efficientnet-lite0: {path} cannot be used ({_reason(error)})") from None
    return network.eval().requires_grad_(False)


def dino_vit_small(weights: Path | None = None) -> nn.Module:
    """DINO's ViT-S/16 (timm's `vit_small_patch16_224`, no head), frozen.

    Args:
        weights: a .pth file of tensors or a .safetensors file; torch's hub cache is looked at without it.

    Raises:
        PretrainedError: they are not there, or are not this network's.
    """
    with torch.device("meta"):
        network = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0)
    _fill(network, "DINO ViT-S/16", weights, DINO_URL, lambda given: dict(given))
    return network.eval().requires_grad_(False)


def lpips_network(net: LpipsNetwork = "vgg", weights: Path | None = None) -> nn.Module:
    """The `lpips` package's network, frozen: `network(left, right, normalize=True)` for images in [0, 1].

    Args:
        net: "vgg" for training, as the release; "alex" is what LPIPS is usually measured with.
        weights: torchvision's ImageNet weights of that network; torch's hub cache is looked at without it.

    Raises:
        PretrainedError: they are not there, or are not this network's.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package calls torchvision as it was in 2022
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    linear = importlib.resources.files(lpips) / "weights" / "v0.1" / f"{net}.pth"
    with linear.open("rb") as file:
        given = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(given, strict=False, assign=True)
    trunk = list(network.net.state_dict())
    _fill(
        network.net,
        f"LPIPS ({net})",
        weights,
        LPIPS_URLS[net],
        # "slice2.3.weight" of the package is torchvision's "features.3.weight".
        lambda given: {name: given[f"features.{name.partition('.')[2]}"] for name in trunk},
    )
    return network.eval().requires_grad_(False)


def perceptual_loss(config: PerceptualConfig, weights: Path | None = None) -> PerceptualLoss:
    """The distance of `config`, with the published weights of the network under it.

    Args:
        config: which distance.
        weights: the network's weight file, where it is not in its usual place.

    Raises:
        PretrainedError: the weights are not at hand.
    """
    if config.name == "efficientnet-lite0":
        return EfficientNetLoss(EfficientNetFeatures(efficientnet_lite0(weights), config.resolution))
    net: LpipsNetwork = "vgg" if config.name == "lpips-vgg" else "alex"
    return LpipsLoss(lpips_network(net, weights), _SMALLEST_SIDES[net])


def discriminator(
    config: DiscriminatorConfig, weights: Path | None = None, generator: torch.Generator | None = None
) -> Discriminator:
    """The discriminator of `config`, with the published weights of the network under it.

    Args:
        config: which discriminator.
        weights: the network's weight file, where it is not in its usual place.
        generator: where the first weights of the heads come from; None is a fresh one of seed 0.

    Raises:
        PretrainedError: the weights are not at hand.
    """
    if isinstance(config, DinoDiscriminatorConfig):
        return DinoDiscriminator(config, dino_vit_small(weights), generator)
    return ProjectedDiscriminator(config, efficientnet_lite0(weights), generator)


def hub_file(url: str) -> Path:
    """Where torch keeps the file of `url` in its hub cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def _fill(
    network: nn.Module,
    what: str,
    weights: Path | None,
    url: str,
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
) -> None:
    """Give a network without memory ("meta") the weights of a file."""
    path = weights or hub_file(url)
    if not path.is_file():
        raise PretrainedError(f"{what}: no weights at {path}; fetch {url} and put it there, or name its path")
    try:
        if path.suffix == ".safetensors":
            given = safetensors.torch.load_file(path)
        else:
            given = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value.float() for name, value in rename(given).items()}, assign=True)
    except Exception as error:  # unpickling a damaged file raises anything it likes
        raise PretrainedError(f"{what}: {path} is damaged or another network's ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
