"""EfficientNet-Lite0 with its ImageNet weights of 2020, embedded in an installed package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import timm
import torch
from timm.layers import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def load_efficientnet_lite0(path: Path) -> EfficientNet:
    """Load timm's network with the weights of `path`, batch norms folded, frozen, in evaluation mode.

    Raises:
        Exception: any error from unpickling a damaged file or loading other weights.
    """
    network = cast(EfficientNet, timm.create_model("tf_efficientnet_lite0", pretrained=False))
    network.load_state_dict(in_order(torch.load(path, map_location="cpu", weights_only=True), network))
    _fold_batch_norm(network.eval())
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def in_order(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename `weights` to the names of `network`, matching them by order and shape.

    Raises:
        ValueError: the weights do not match.
    """
    own = network.state_dict()
    if len(own) != len(weights):
        raise ValueError(f"{len(weights)} tensors, expected {len(own)}")
    for (name, tensor), (given_name, given) in zip(own.items(), weights.items(), strict=True):
        if given.shape != tensor.shape or name.rpartition(".")[2] != given_name.rpartition(".")[2]:
            raise ValueError(f"{given_name} {tuple(given.shape)} where {name} {tuple(tensor.shape)} belongs")
    return dict(zip(own, weights.values(), strict=True))


def _fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm into the previous convolution: the same function with half the memory traffic."""
    for parent in list(network.modules()):
        convolution: nn.Conv2d | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormAct2d) and convolution is not None:
                assert child.running_mean is not None
                assert child.running_var is not None
                weight, bias = fuse_conv_bn_weights(
                    convolution.weight,
                    convolution.bias,
                    child.running_mean,
                    child.running_var,
                    child.eps,
                    child.weight,
                    child.bias,
                )
                convolution.weight, convolution.bias = weight, bias
                setattr(parent, name, child.act)
            convolution = child if isinstance(child, nn.Conv2d) else None
