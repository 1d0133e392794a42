"""LPIPS (Zhang et al., 2018), the perceptual loss of Table 6, using the `lpips` package."""

from __future__ import annotations

import importlib.resources
import warnings
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sftok.frozen import Frozen
from sftok.io.published import load_published
from sftok.losses.perceptual import PerceptualConfig, PerceptualLoss

LPIPS_URLS = {
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
}
"""torchvision's ImageNet weights by network; LPIPS' own linear weights come with the `lpips` package."""

LpipsNetwork = Literal["vgg", "alex"]


class LpipsConfig(PerceptualConfig):
    """Settings shared by the members on VGG and on AlexNet.

    Attributes:
        net: the network under LPIPS.
        smallest: minimum side of an image in pixels, required by the network's pooling.
    """

    net: ClassVar[LpipsNetwork]
    smallest: ClassVar[int]

    def build(self) -> PerceptualLoss:
        """Build the loss, with the published weights of its network."""
        return LpipsLoss(lpips_network(self.net), self.smallest)

    def check_weights(self) -> None:
        """Load the network."""
        lpips_network(self.net)

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor]:
        """Return the convolutions, which take images without resizing."""
        from torchvision.models import alexnet, vgg16

        with torch.device("meta"):
            network = (vgg16 if self.net == "vgg" else alexnet)(weights=None).features
            return network, torch.empty(1, 3, image_size, image_size)


class LpipsVGGConfig(LpipsConfig, name="lpips-vgg"):
    """LPIPS on VGG16, used for training in the release."""

    net = "vgg"
    smallest = 16


class LpipsAlexConfig(LpipsConfig, name="lpips-alex"):
    """LPIPS on AlexNet, commonly used for evaluation."""

    net = "alex"
    smallest = 32


class LpipsLoss(PerceptualLoss):
    """LPIPS averaged over a batch, in float32.

    Args:
        network: the result of `lpips_network`; kept frozen.
        smallest: minimum side of an image in pixels, required by the network's pooling.
    """

    network: Frozen

    def __init__(self, network: nn.Module, smallest: int = 16) -> None:
        self.network = Frozen(network)
        self.smallest = smallest

    def __call__(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the scalar distance of two batches `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: the images are too small for the network.
        """
        side = min(images.shape[-2:])
        if side < self.smallest:
            raise ValueError(
                f"LPIPS needs {self.smallest} pixels a side, these images have {side}; "
                "choose efficientnet-lite0, which resizes"
            )
        with torch.autocast(images.device.type, enabled=False):
            distances: Tensor = self.network(reconstructions.float(), images.float(), normalize=True)
        return distances.mean()


def lpips_network(net: LpipsNetwork = "vgg", weights: Path | None = None) -> nn.Module:
    """Load the package's network, frozen: `network(left, right, normalize=True)` for images in [0, 1].

    Args:
        net: "vgg", used for training in the release, or "alex", commonly used for evaluation.
        weights: torchvision's ImageNet weights of that network; torch's hub cache by default.

    Raises:
        PretrainedError: the weights are missing or damaged.
    """
    import lpips  # imported here because it takes seconds, which reading a configuration need not spend

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package uses torchvision's interface of 2022
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    linear = importlib.resources.files(lpips) / "weights" / "v0.1" / f"{net}.pth"
    with linear.open("rb") as file:
        given = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(given, strict=False, assign=True)
    trunk = list(network.net.state_dict())
    load_published(
        network.net,
        f"LPIPS ({net})",
        LPIPS_URLS[net],
        weights,
        # The package's "slice2.3.weight" is torchvision's "features.3.weight".
        lambda given: {name: given[f"features.{name.partition('.')[2]}"] for name in trunk},
    )
    return network.eval().requires_grad_(False)
