"""Training a tokenizer on pixels in one stage, as the 2D systems of Table 1 are trained here."""

from __future__ import annotations

from torch.nn import functional as F

from sftok.tokenizers.pixel import PixelTokenizer
from sftok.training.stages.base import Losses, Stage, Step


class PixelStage(Stage):
    """Squared error on pixels plus the quantizer's loss: the teacher's objective, for any tokenizer."""

    def __init__(self, tokenizer: PixelTokenizer) -> None:
        super().__init__()
        self.trained = tokenizer

    def losses(self, optimizer: str, step: Step) -> Losses:
        """The VQ-VAE objective on images in [0, 1]."""
        reconstruction, quantized = self.trained(step.batch.images, step.generator, step.world)
        pixels = F.mse_loss(reconstruction.float(), step.batch.images)
        return {
            "loss": pixels + quantized.loss,
            "reconstruction_loss": pixels,
            "quantizer_loss": quantized.loss,
        }
