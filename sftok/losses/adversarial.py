"""The adversarial losses of stage 3: hinge losses for both networks, and LeCam regularization (Table 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sftok.distributed import SINGLE, World


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """`(E max(0, 1 - D(x)) + E max(0, 1 + D(G))) / 2`: 1 for a discriminator that always outputs 0.

    Args:
        real_logits: logits of images, of any shape.
        fake_logits: logits of reconstructions, of any shape.
    """
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """`-E D(G)`: low if the discriminator mistakes reconstructions for real images."""
    return -fake_logits.mean()


class LeCam(nn.Module):
    """LeCam regularization (Tseng et al., 2021), in the release's form, on mean logits of the batch.

    `max(0, r - f_avg)^2 + max(0, r_avg - f)^2`, where r and f are the mean logits of images and of
    reconstructions, and `_avg` are their moving averages, which start at 0. The averages are buffers and
    part of a checkpoint.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def forward(self, real_logits: Tensor, fake_logits: Tensor, world: World = SINGLE) -> Tensor:
        """Return the penalty against the averages so far, then update them with these logits.

        Args:
            real_logits: logits of images, of any shape.
            fake_logits: logits of reconstructions, of any shape.
            world: the processes that share the batch.
        """
        real, fake = world.mean(real_logits.float().mean()), world.mean(fake_logits.float().mean())
        # Cloned, because the averages change before the backward pass.
        above = F.relu(real - self.fake.clone()).square()
        below = F.relu(self.real.clone() - fake).square()
        with torch.no_grad():
            self.real.lerp_(real, 1 - self.decay)
            self.fake.lerp_(fake, 1 - self.decay)
        return above + below
