"""Training the teacher, a MaskGIT-VQGAN, by reconstruction, for profiles without a released one."""

from __future__ import annotations

from torch.nn import functional as F

from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.training.stages.base import Losses, Stage, Step


class TeacherStage(Stage):
    """Squared error on pixels plus the quantizer's loss."""

    def __init__(self, teacher: MaskGITVQGAN):
        super().__init__()
        self.trained = teacher

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return the VQ-VAE objective on images in [0, 1]."""
        reconstruction, quantized = self.trained(step.batch.images, step.world)
        pixels = F.mse_loss(reconstruction.float(), step.batch.images)
        return {
            "loss": pixels + quantized.loss,
            "reconstruction_loss": pixels,
            "quantizer_loss": quantized.loss,
        }
