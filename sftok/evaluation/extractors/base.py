"""What a feature extractor is: a configuration that names and builds it, and a network of uint8 images.

Nothing is downloaded: weights come from an installed package, from a path, or from torch's hub cache;
otherwise an error names the file and the remedy.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from sftok.components import Component
from sftok.config import Config
from sftok.io.weights import content_hash, load_tensors
from sftok.metrics.base import EvaluationError, Features
from sftok.models.classifier import CONFIG_KEY

Network = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""uint8 images `[B, 3, H, W]` to features `[B, F]` and class logits `[B, C]`, or None in their place."""

GPU_CHUNK = 256
"""Images that a GPU passes at once."""

CPU_CHUNK = 250
"""Images that a CPU passes at once, of networks as small as those that are trained on the data."""


@dataclass(frozen=True)
class Extractor:
    """A feature space: a network, its name, and the hash of its weights."""

    label: str
    weights: str
    """SHA-256 of the weight file, or of a classifier's tensors."""
    network: Network
    chunk: int
    """Images to pass at once, few enough for the CPU's caches."""
    device: torch.device

    def __call__(self, pixels: Tensor) -> Features:
        """Features and logits of uint8 images `[B, 3, H, W]`; each image's own, up to rounding.

        Raises:
            ValueError: the images are not uint8.
        """
        if pixels.dtype != torch.uint8:
            raise ValueError(f"{self.label}: images must be uint8, not {pixels.dtype}")
        with torch.inference_mode():
            parts = [self.network(chunk.to(self.device)) for chunk in pixels.split(self.chunk)]
        features = torch.cat([part for part, _ in parts]).float().cpu()
        logits = [part for _, part in parts if part is not None]
        return Features(features, torch.cat(logits).float().cpu() if logits else None)


class ExtractorConfig(Component, family="extractor", package="sftok.evaluation.extractors"):
    """A feature space for the metrics of features."""

    in_domain: ClassVar[bool] = False
    """Whether its weights are trained on the data that it measures, and so have no usual place."""

    @property
    def label(self) -> str:
        """The name that goes with every number: `efficientnet-lite0@64`, `classifier`, ..."""
        return self.reference

    @abstractmethod
    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """The feature space.

        Args:
            device: where the network runs.
            weights: its weight file, where it is not in its usual place.

        Raises:
            EvaluationError: the weights are missing, damaged or another network's.
        """

    def check_weights(self) -> None:
        """Load published weights.

        Raises:
            EvaluationError: they are missing or damaged.
        """
        if not self.in_domain:
            self.build()


class Shape(Config):
    """What a network that is trained on the data takes over from it; stored with its weights."""

    image_size: int = Field(ge=2)
    num_classes: int = Field(ge=2)


class TrainedConfig(ExtractorConfig):
    """A feature space that is learned from the training images, by an artifact of its own."""

    in_domain = True
    objective: ClassVar[Literal["labels", "views"]]
    """What it learns: the class labels, or without them which views are of one image."""

    @abstractmethod
    def network(self, shape: Shape) -> nn.Module:
        """An untrained network with `features` (images in [0, 1] to `[B, F]`) and a `head` to logits or None.

        Its initial weights are drawn from torch's global state.
        """

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """The feature space.

        Raises:
            EvaluationError: `weights` is not given, or the file of another network.
        """
        if weights is None:
            raise EvaluationError(f"{self.label}: name the safetensors file of a trained network")
        with reading(self.label, weights, "train it first"):
            tensors, metadata = load_tensors(weights)
            try:
                shape = Shape.model_validate_json(metadata[CONFIG_KEY])
            except (KeyError, ValidationError):
                raise EvaluationError(f"{self.label}: {weights} is not its file; train it first") from None
            network = self.network(shape)
            network.load_state_dict(tensors)
        return on_pixels(self.label, network, shape.image_size, torch.device(device))


class OnPixels(nn.Module):
    """A network that was trained on the data, on uint8 images of its own size."""

    def __init__(self, label: str, network: nn.Module, image_size: int) -> None:
        super().__init__()
        self.label, self.image_size = label, image_size
        self.network: Any = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 images `[B, 3, H, W]` to pooled features, and logits if it classifies.

        Raises:
            EvaluationError: the network was trained on images of another size.
        """
        side = self.image_size
        if pixels.shape[-2:] != (side, side):
            raise EvaluationError(
                f"{self.label}: trained on {side}x{side} images, got {pixels.shape[-2]}x{pixels.shape[-1]}; "
                "train one at the size of the data"
            )
        features = self.network.features(pixels.float() / 255)
        return features, None if self.network.head is None else self.network.head(features)


def on_pixels(label: str, network: nn.Module, image_size: int, device: torch.device) -> Extractor:
    """The feature space of a trained network, frozen and in evaluation mode."""
    # Of the tensors: safetensors orders a header as it likes, and the files of equal networks differ.
    weights = content_hash(network.state_dict())
    frozen = OnPixels(label, network.requires_grad_(False), image_size).to(device).eval()
    return Extractor(label, weights, frozen, CPU_CHUNK if device.type == "cpu" else GPU_CHUNK, device)


def build_extractors(
    configs: Iterable[ExtractorConfig], device: torch.device | str, in_domain: Path | None = None
) -> list[Extractor]:
    """The feature spaces of `configs`; `in_domain` is the weight file of the one trained on the data."""
    return [config.build(device, in_domain if config.in_domain else None) for config in configs]


def check_asked(asked: Sequence[ExtractorConfig], given: Sequence[Extractor]) -> None:
    """Refuse extractors that are not those of a configuration, in its order.

    Raises:
        EvaluationError: names both.
    """
    wanted = [extractor.label for extractor in asked]
    found = [extractor.label for extractor in given]
    if wanted != found:
        raise EvaluationError(f"extractors: the configuration asks for {wanted}, given are {found}")


@contextmanager
def reading(label: str, path: Path, remedy: str) -> Iterator[None]:
    """Turn any error while the weights of `label` are read from `path` into one line.

    Raises:
        EvaluationError: there is no such file (the message ends in `remedy`), or it is damaged or another
            network's.
    """
    if not path.is_file():
        raise EvaluationError(f"{label}: no weights at {path}; {remedy}")
    try:
        yield
    except EvaluationError:
        raise
    except Exception as error:  # unpickling a damaged file raises anything it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EvaluationError(f"{label}: {path} is damaged or another network's ({reason})") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
