"""Training a tokenizer on pixels in one stage, as done here for the 2D systems of Table 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn
from torch.nn import functional as F

from sftok.tokenizers.pixel import PixelTokenizer
from sftok.training.semantic import SemanticLoss
from sftok.training.stages.base import Losses, Stage, Step


class PixelStage(Stage):
    """Squared error on pixels plus the quantizer's loss: the teacher's objective, for any tokenizer.

    `semantic` adds supervision of the latents by a frozen network.
    """

    def __init__(self, tokenizer: PixelTokenizer, semantic: SemanticLoss | None = None) -> None:
        super().__init__()
        self.trained = tokenizer
        self.semantic = semantic

    def optimizers(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """Return one optimizer for everything, including the semantic loss's own weights."""
        return {"model": self.named_parameters()}

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return the VQ-VAE objective on images in [0, 1]."""
        images = step.batch.images
        reconstruction, quantized = self.trained(images, step.generator, step.world)
        pixels = F.mse_loss(reconstruction.float(), images)
        losses = {
            "loss": pixels + quantized.loss,
            "reconstruction_loss": pixels,
            "quantizer_loss": quantized.loss,
        }
        if self.semantic is not None:
            losses["semantic_loss"] = self.semantic(quantized.quantized, images, step.world)
            losses["loss"] = losses["loss"] + losses["semantic_loss"]
        return losses
