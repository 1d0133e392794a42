"""DINOv2 and CLIP, if their files are in the Hugging Face cache; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sftok.evaluation.extractors.base import (
    GPU_CHUNK,
    EvaluationError,
    Extractor,
    ExtractorConfig,
    file_hash,
    reading,
)

SIDE = 224
"""Side in pixels to which images are resized."""


class VisionTransformerConfig(ExtractorConfig):
    """Image embeddings of a published transformer from timm."""

    timm_name: ClassVar[str]

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Raises:
            EvaluationError: the weights are missing or damaged, or belong to another network.
        """
        # Imported here because timm takes time to load, and planning does not need it.
        import safetensors.torch
        import timm
        from timm.models.vision_transformer import checkpoint_filter_fn

        path = weights or self._cached()
        with reading(self.label, path, f"fetch it: hf download timm/{self.timm_name}"):
            network = timm.create_model(self.timm_name, pretrained=False, img_size=SIDE)
            # Resizes position embeddings of another image size.
            network.load_state_dict(
                checkpoint_filter_fn(safetensors.torch.load_file(path), cast(Any, network))
            )
        device = torch.device(device)
        chunk = GPU_CHUNK if device.type != "cpu" else 8
        frozen = Embeddings(network.requires_grad_(False)).to(device).eval()
        return Extractor(self.label, file_hash(path), frozen, chunk, device)

    def _cached(self) -> Path:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(f"timm/{self.timm_name}", "model.safetensors")
        if not isinstance(found, str):
            raise EvaluationError(
                f"{self.label}: no weights in the Hugging Face cache; fetch them: "
                f"hf download timm/{self.timm_name} model.safetensors"
            )
        return Path(found)


class DINOv2Config(VisionTransformerConfig, name="dinov2"):
    """DINOv2 ViT-S/14: the class token (arXiv 2304.07193)."""

    timm_name = "vit_small_patch14_dinov2.lvd142m"


class CLIPConfig(VisionTransformerConfig, name="clip"):
    """OpenAI's CLIP ViT-B/32: the projected image embedding (arXiv 2103.00020)."""

    timm_name = "vit_base_patch32_clip_224.openai"


class Embeddings(nn.Module):
    """timm's network on uint8 images, resized bicubically and normalized as in its training."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        trained: Any = network.pretrained_cfg
        for name in ("mean", "std"):
            values = torch.tensor(trained[name]).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, None]:
        """Map uint8 images `[B, 3, H, W]` to embeddings `[B, F]`."""
        images = F.interpolate(
            pixels.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True
        )
        return self.network((images / 255 - self.mean) / self.std), None
