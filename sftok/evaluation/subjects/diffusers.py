"""Autoencoders of Hugging Face's diffusers: `AutoencoderKL`, `AutoencoderDC` and `VQModel`.

Images are scaled to [-1, 1], as in the training of these models. A KL autoencoder is measured at the mean of
its posterior, without noise. Continuous latents take the bits of their number format; `VQModel` has ids.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from sftok.data.base import ImageSet
from sftok.data.batches import Batch
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.subjects.base import Opened, Subject, SubjectConfig, SubjectError
from sftok.evaluation.tokenizers import Decoded, Decoding, Reconstructor
from sftok.io.weights import content_hash

CLASSES = ("AutoencoderKL", "AutoencoderDC", "VQModel")
CONFIG_FILE = "config.json"


class DiffusersConfig(SubjectConfig, name="diffusers"):
    """An autoencoder in a folder or on the hub, with weights as safetensors."""

    location: str
    """A folder or a hub id, followed by `/vae` (or another folder) for a part of a pipeline."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Number format of weights and latents."""

    @property
    def label(self) -> str:
        """The location."""
        return self.location

    def open(self) -> Opened:
        """Open the autoencoder.

        Raises:
            SubjectError: diffusers is missing, or the model cannot be loaded; the message says what to do.
        """
        model = _load(self.location, getattr(torch, self.dtype))
        config = json.dumps({key: value for key, value in model.config.items() if key[0] != "_"}, default=str)
        content = f"{type(model).__name__} {config} {self.dtype} {content_hash(model.state_dict())}"
        identity = hashlib.sha256(content.encode()).hexdigest()

        def on(image_set: ImageSet) -> Subject:
            side, step = image_set.images(torch.arange(1)).shape[-1], _compression(model)
            if side % step:
                raise SubjectError(
                    f"{self.location}: takes images whose side is a multiple of {step}, these have {side}; "
                    f"--set data.image_size={math.ceil(side / step) * step}"
                )
            is_discrete = type(model).__name__ == "VQModel"
            return Subject(measured=(Discrete if is_discrete else Continuous)(model), identity=identity)

        return Opened(image_size=None, on=on)


def is_diffusers(folder: Path) -> bool:
    """Whether `folder` holds one of these autoencoders."""
    try:
        return json.loads((folder / CONFIG_FILE).read_text())["_class_name"] in CLASSES
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Continuous(Reconstructor):
    """An autoencoder with continuous latents."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    def to(self, device: torch.device) -> Self:
        """Move the autoencoder to `device`."""
        self.model.to(device)
        return super().to(device)

    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """Return the only decoding."""

        def decode(batch: Batch, ids: Tensor | None) -> Decoded:
            encoded = self.model.encode(_scaled(self.model, batch.images))
            latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
            images = _unscaled(self.model.decode(latents).sample)
            bits = latents[0].numel() * latents.element_size() * 8
            return Decoded(images=images, bits=torch.full((len(images),), float(bits), dtype=torch.float64))

        return [Decoding(name=subject, coordinates={}, passes=1, gives_bits=True, decode=decode)]


class Discrete(nn.Module):
    """`VQModel` as a tokenizer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        config: Any = model.config
        self.codebook_size = int(config.num_vq_embeddings)

    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` to ids `[B, H/f * W/f]`."""
        latents = self.model.encode(_scaled(self.model, images)).latents
        _, _, (_, _, ids) = self.model.quantize(latents)
        return ids.reshape(len(images), -1)

    def decode(self, ids: Tensor) -> Tensor:
        """Decode ids of square images to images in [0, 1]."""
        side = math.isqrt(ids.shape[1])
        shape = (len(ids), side, side, self.model.config.vq_embed_dim or self.model.config.latent_channels)
        codes = self.model.quantize.get_codebook_entry(ids.flatten(), shape)
        return _unscaled(self.model.decode(codes, force_not_quantize=True).sample)


def _scaled(model: Any, images: Tensor) -> Tensor:
    return (images * 2 - 1).to(model.dtype)


def _unscaled(images: Tensor) -> Tensor:
    return ((images.float() + 1) / 2).clamp(0, 1)


def _compression(model: Any) -> int:
    """Return the side in pixels of the square that a latent represents."""
    found = getattr(model, "spatial_compression_ratio", None)
    return int(found or 2 ** (len(model.config.block_out_channels) - 1))


def _load(location: str, dtype: torch.dtype) -> Any:
    try:
        import diffusers
    except ImportError:
        raise SubjectError(f"{location}: needs diffusers; pip install 'sftok[diffusion]'") from None

    folder = Path(location).expanduser()
    repository, subfolder = (str(folder), None) if folder.is_dir() else _on_hub(location)
    try:
        config = diffusers.AutoencoderKL.load_config(repository, subfolder=subfolder)
        name = config["_class_name"]
        if name not in CLASSES:
            raise SubjectError(f"{location}: is a {name}, not one of {', '.join(CLASSES)}")
        return (
            getattr(diffusers, name)
            .from_pretrained(
                repository,
                subfolder=subfolder,
                use_safetensors=True,
                torch_dtype=dtype,
                low_cpu_mem_usage=False,
            )
            .eval()
        )
    except SubjectError:
        raise
    except Exception as error:  # offline, no such model, damaged weights, another version of diffusers
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SubjectError(
            f"{location}: cannot be loaded by diffusers ({reason}); weights must be safetensors, not .bin"
        ) from None


def _on_hub(location: str) -> tuple[str, str | None]:
    owner, _, rest = location.partition("/")
    name, _, subfolder = rest.partition("/")
    if not name:
        raise SubjectError(f"{location}: no such folder, and not a hub id (ORG/NAME, or ORG/NAME/vae)")
    return f"{owner}/{name}", subfolder or None
