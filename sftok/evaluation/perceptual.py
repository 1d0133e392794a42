"""LPIPS with AlexNet, as the release measures it; its ImageNet weights must be at hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
from torch import Tensor
from torchvision.models import AlexNet_Weights

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.metrics import MeanOverImages, Reconstructions

_SMALLEST = 32


class LPIPS(MeanOverImages):
    """Learned perceptual distance to the original, averaged over images; 0 for identical ones."""

    name = "lpips"

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def per_image(self, batch: Reconstructions) -> Tensor:
        """The distance of each image, `[B]`."""
        side = min(batch.images.shape[-2:])
        if side < _SMALLEST:
            raise EvaluationError(
                f"lpips: AlexNet needs {_SMALLEST} pixels a side, these have {side}; leave it out"
            )
        return self.network(batch.images, batch.originals, normalize=True).flatten()


def load_alexnet_lpips(weights: Path | None = None) -> torch.nn.Module:
    """The LPIPS network, for many `LPIPS`.

    Args:
        weights: torchvision's AlexNet weights; torch's hub cache is looked at without it.

    Raises:
        EvaluationError: they are not there, or are not AlexNet's.
    """
    url = AlexNet_Weights.IMAGENET1K_V1.url
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.is_file():
        raise EvaluationError(f"lpips: no AlexNet weights at {path}; fetch {url} and put it there")
    # The start, soon overwritten, is drawn from the global state; torchvision warns of how lpips calls it.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
        # "slice2.3.weight" of the package is torchvision's "features.3.weight".
        own = {name: given[f"features.{name.partition('.')[2]}"] for name in network.net.state_dict()}
        network.net.load_state_dict(own)
    except Exception as error:  # unpickling a damaged file raises anything it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EvaluationError(f"lpips: {path} is damaged or not AlexNet's ({reason})") from None
    return network.eval().requires_grad_(False)
