"""The interface of feature extractors: a configuration that builds one, and a network of uint8 images.

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
"""Maps uint8 images `[B, 3, H, W]` to features `[B, F]` and class logits `[B, C]` or None."""

GPU_CHUNK = 256
"""Number of images per forward pass on a GPU."""

CPU_CHUNK = 250
"""Number of images per forward pass on a CPU, for small networks such as those trained on the data."""


@dataclass(frozen=True)
class Extractor:
    """A feature space: a network, its name, and the hash of its weights."""

    label: str
    weights: str
    """SHA-256 of the weight file, or of a classifier's tensors."""
    network: Network
    chunk: int
    """Number of images per forward pass, small enough for the CPU's caches."""
    device: torch.device

    def __call__(self, pixels: Tensor) -> Features:
        """Compute features and logits of uint8 images `[B, 3, H, W]`; images do not interact, up to rounding.

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
    """Whether its weights are trained on the data that it measures, and so have no fixed location."""

    @property
    def label(self) -> str:
        """The name reported with every number: `efficientnet-lite0@64`, `classifier`, ..."""
        return self.reference

    @abstractmethod
    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Args:
            device: where the network runs.
            weights: its weight file, if it is not in its usual place.

        Raises:
            EvaluationError: the weights are missing or damaged, or belong to another network.
        """

    def check_weights(self) -> None:
        """Load published weights.

        Raises:
            EvaluationError: the weights are missing or damaged.
        """
        if not self.in_domain:
            self.build()


class Shape(Config):
    """Sizes that a network trained on the data takes from it; stored with its weights."""

    image_size: int = Field(ge=2)
    num_classes: int = Field(ge=2)


class TrainedConfig(ExtractorConfig):
    """A feature space that is learned from the training images, as an artifact of its own."""

    in_domain = True
    objective: ClassVar[Literal["labels", "views"]]
    """What it is trained to predict: the class labels, or which views show the same image."""

    @abstractmethod
    def network(self, shape: Shape) -> nn.Module:
        """Build an untrained network with `features` (images to `[B, F]`) and a `head` to logits, or None.

        Its initial weights are drawn from torch's global state.
        """

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Raises:
            EvaluationError: `weights` is not given, or belongs to another network.
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
    """A network trained on the data, applied to uint8 images of its own size."""

    def __init__(self, label: str, network: nn.Module, image_size: int) -> None:
        super().__init__()
        self.label, self.image_size = label, image_size
        self.network: Any = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map uint8 images `[B, 3, H, W]` to pooled features, and to logits if it classifies.

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
    """Return the feature space of a trained network, frozen and in evaluation mode."""
    # Hash the tensors, not the file: safetensors may order headers differently for equal networks.
    weights = content_hash(network.state_dict())
    frozen = OnPixels(label, network.requires_grad_(False), image_size).to(device).eval()
    return Extractor(label, weights, frozen, CPU_CHUNK if device.type == "cpu" else GPU_CHUNK, device)


def build_extractors(
    configs: Iterable[ExtractorConfig], device: torch.device | str, in_domain: Path | None = None
) -> list[Extractor]:
    """Build the feature spaces of `configs`; `in_domain` is the weight file of one trained on the data."""
    return [config.build(device, in_domain if config.in_domain else None) for config in configs]


def check_asked(asked: Sequence[ExtractorConfig], given: Sequence[Extractor]) -> None:
    """Check that the extractors are those of a configuration, in its order.

    Raises:
        EvaluationError: they differ; the message names both.
    """
    wanted = [extractor.label for extractor in asked]
    found = [extractor.label for extractor in given]
    if wanted != found:
        raise EvaluationError(f"extractors: the configuration asks for {wanted}, got {found}")


@contextmanager
def reading(label: str, path: Path, remedy: str) -> Iterator[None]:
    """Convert any error while reading the weights of `label` from `path` to a one-line message.

    Raises:
        EvaluationError: the file does not exist (the message ends in `remedy`), is damaged, or belongs to
            another network.
    """
    if not path.is_file():
        raise EvaluationError(f"{label}: no weights at {path}; {remedy}")
    try:
        yield
    except EvaluationError:
        raise
    except Exception as error:  # unpickling a damaged file may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EvaluationError(f"{label}: {path} is damaged or another network's ({reason})") from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
