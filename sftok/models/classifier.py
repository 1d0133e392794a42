"""The in-domain classifier: a feature space for rFID and IS where ImageNet features mean little.

A small network of pairs of 3x3 convolutions; the first of each pair halves the resolution. On Fashion-MNIST
(28x28), 1,500 steps of batch size 256 with a peak learning rate of 4e-3 reach 92 % accuracy on test images.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from sftok.config import Config
from sftok.io.weights import DamagedFileError, load_tensors

CONFIG_KEY = "config"
"""The key of a weight file's metadata under which the model's configuration is stored as JSON."""


class ClassifierConfig(Config):
    """The shape of a classifier."""

    image_size: int = Field(ge=2)
    num_classes: int = Field(ge=2)
    channels: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    """Channels per resolution, each half the previous one; the last is the width of the features."""


class Classifier(nn.Module):
    """Maps images to class logits."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.body = convolutions(config.channels)
        self.head = nn.Linear(config.channels[-1], config.num_classes)
        # The CPU's convolutions use this layout; any other costs a copy per layer.
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to pooled features `[B, channels[-1]]`."""
        return self.body(images.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to logits `[B, num_classes]`."""
        return self.head(self.features(images))


def load_classifier(path: Path) -> Classifier:
    """Load a trained classifier, in evaluation mode, from a safetensors file that holds its configuration.

    Raises:
        DamagedFileError: the file is truncated or altered, or holds no classifier.
        FileNotFoundError: `path` does not exist.
    """
    weights, metadata = load_tensors(path)
    try:
        classifier = Classifier(ClassifierConfig.model_validate_json(metadata[CONFIG_KEY]))
        classifier.load_state_dict(weights)
    except (KeyError, ValidationError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DamagedFileError(
            path, f"holds no classifier ({reason})", "train one and name its file"
        ) from None
    return classifier.eval()


def convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    """Build pairs of 3x3 convolutions from 3 channels to `channels`; each pair halves the resolution."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((3, *channels)):
        layers += [*_convolution(inputs, outputs, stride=2), *_convolution(outputs, outputs, stride=1)]
    return nn.Sequential(*layers)


def _convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
