"""Stage 3 of the tokenizer, fine-tuning on pixels, in the way a VQGAN is trained (paper 3.3, Table 6).

Encoder and quantizer are frozen, so an image keeps its tokens. The decoder and the pixel decoder, frozen
until then, are trained together through the soft codebook lookup, through which pixels have a gradient with
respect to logits. Decoding must then end with the same lookup: `DecodingConfig.final_lookup` "soft".

The decoder's input is that of stage 2 with replacement ratio 1 (Table 6: guided mask, replace prob 1.0): a
mask is drawn, and visible positions show the first prediction, computed without gradient. The teacher is not
involved: losses are on pixels alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.config import Config, ConfigError
from sftok.decoding.schedule import MaskSchedule, sample_mask
from sftok.device import to_device
from sftok.distributed import SINGLE, World
from sftok.frozen import Frozen
from sftok.losses.adversarial import LeCam, hinge_discriminator_loss, hinge_generator_loss
from sftok.losses.diff_augment import diff_augment
from sftok.losses.perceptual import PerceptualLoss
from sftok.models.base import Decoder, Encoder, PixelDecoder
from sftok.models.discriminator import Discriminator
from sftok.quantizers.base import Quantized
from sftok.training.stages.base import Losses, Stage, Step


class FineTuningConfig(Config):
    """The weights of stage 3's losses; the defaults are Table 6, or the release if the table is silent."""

    reconstruction_weight: float = Field(default=1.0, ge=0)
    """Weight of the squared error (L2)."""
    perceptual_weight: float = Field(default=1.0, ge=0)
    discriminator_start: int = Field(default=20_000, ge=0)
    """Updates before the discriminator starts; until then there is no adversarial loss."""
    discriminator_factor: float = Field(default=1.0, ge=0)
    """Weight of both adversarial losses, the model's and the discriminator's."""
    discriminator_weight: float = Field(default=0.5, ge=0)
    """Weight of the model's adversarial loss; fixed, unlike the adaptive weight of VQGAN."""
    lecam_weight: float = Field(default=0.001, ge=0)
    lecam_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving averages of logits, as in the release."""
    mask_schedule: MaskSchedule = "arccos"


class FineTuningStage(Stage):
    """Trains the decoders to reconstruct images, and a discriminator to distinguish the two.

    The optimizers are `model` (decoder and pixel decoder) and `discriminator`. Within a step the model is
    updated first, and the discriminator judges the reconstructions made before that update. The teacher's
    codebook is a part of the pixel decoder and trained with it, as in the release.
    """

    trained: nn.ModuleDict

    def __init__(
        self,
        encoder: Encoder,
        quantizer: nn.Module,
        decoder: Decoder,
        pixel_decoder: PixelDecoder,
        perceptual: PerceptualLoss,
        discriminator: Discriminator,
        config: FineTuningConfig,
    ):
        super().__init__()
        self.encoder, self.quantizer = Frozen(encoder), Frozen(quantizer)
        self.trained = nn.ModuleDict({"decoder": decoder, "pixel_decoder": pixel_decoder})
        self.perceptual = perceptual
        self.discriminator = discriminator
        self.lecam = LeCam(config.lecam_decay)
        self.config = config

    @property
    def decoder(self) -> Decoder:
        """Predicts codes from latent tokens."""
        return cast(Decoder, self.trained["decoder"])

    @property
    def pixel_decoder(self) -> PixelDecoder:
        """Decodes codes to pixels."""
        return cast(PixelDecoder, self.trained["pixel_decoder"])

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """Encoder and decoder; the pixel decoder is excluded because it is not called as a module."""
        return self.encoder.module, self.decoder

    @property
    def networks(self) -> Mapping[str, Frozen]:
        """The frozen networks of the losses, by loss."""
        found = {"perceptual": self.perceptual.network, "discriminator": self.discriminator.network}
        return {loss: network for loss, network in found.items() if network is not None}

    def optimizers(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """Return the model's parameters, then those of the discriminator's heads."""
        heads = [each for each in self.discriminator.named_parameters() if each[1].requires_grad]
        return {"model": self.trained.named_parameters(), "discriminator": heads}

    def first_update(self, optimizer: str) -> int:
        """Return `discriminator_start` for the discriminator, otherwise 0."""
        return self.config.discriminator_start if optimizer == "discriminator" else 0

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return L2, perceptual and adversarial loss, or the hinge loss and LeCam of the discriminator.

        Raises:
            ConfigError: the discriminator's groups do not divide this process's share of the batch.
        """
        self._require_whole_groups(step)
        return {"model": self._model, "discriminator": self._discriminator}[optimizer](step)

    def reconstruct(self, quantized: Tensor, generator: torch.Generator, world: World = SINGLE) -> Tensor:
        """Decode frozen tokens to images with one guided, partly masked pass of the decoder.

        Args:
            quantized: `[B, K, Dq]`.
            generator: source of the mask.
            world: the processes that share the batch to which these tokens belong.

        Returns:
            `[B, 3, H, W]`, float32, not clamped; differentiable with respect to both decoders.
        """
        decoder, pixel_decoder = self.decoder, self.pixel_decoder
        shape = (len(quantized), decoder.num_codes)
        predicted = decoder.first_prediction(quantized)
        drawn = sample_mask((world.size * shape[0], shape[1]), self.config.mask_schedule, generator)
        masked = to_device(world.share(drawn), quantized.device)
        logits = decoder(torch.where(masked, decoder.mask_id, predicted), quantized)
        return pixel_decoder.decode_soft(logits).float()

    def _model(self, step: Step) -> Losses:
        images, config = step.batch.images, self.config
        with torch.no_grad():
            tokens: Quantized = self.quantizer(self.encoder(images), step.generator, step.world)
        reconstructions = self.reconstruct(tokens.quantized, step.generator, step.world)
        step.shared["reconstructions"] = reconstructions.detach()
        pixels = F.mse_loss(reconstructions, images)
        perceptual = self.perceptual(reconstructions, images)
        adversarial = torch.zeros_like(pixels)
        if step.index >= config.discriminator_start:
            with _unchanged(self.discriminator):
                adversarial = hinge_generator_loss(self._logits(reconstructions, step))
        loss = (
            config.reconstruction_weight * pixels
            + config.perceptual_weight * perceptual
            + config.discriminator_factor * config.discriminator_weight * adversarial
        )
        return {
            "loss": loss,
            "reconstruction_loss": pixels,
            "perceptual_loss": perceptual,
            "gan_loss": adversarial,
            "quantizer_loss": tokens.loss,
        }

    def _discriminator(self, step: Step) -> Losses:
        real = self._logits(step.batch.images, step)
        fake = self._logits(step.shared["reconstructions"], step)
        hinge = hinge_discriminator_loss(real, fake)
        lecam = self.lecam(real, fake, step.world)
        return {
            "loss": self.config.discriminator_factor * hinge + self.config.lecam_weight * lecam,
            "hinge_loss": hinge,
            "lecam_loss": lecam,
            "real_logits": real.mean(),
            "fake_logits": fake.mean(),
        }

    def _require_whole_groups(self, step: Step) -> None:
        """Check that the discriminator's groups do not depend on the number of processes."""
        share, group = len(step.batch.images), self.discriminator.norm_batch
        if step.world.size > 1 and share % group:
            raise ConfigError(
                f"the discriminator normalizes over {group} images, which does not divide the {share} images "
                "of a process; start fewer processes, or increase stage3.training.batch_size"
            )

    def _logits(self, images: Tensor, step: Step) -> Tensor:
        # In float32, because an adversarial gradient is a small difference of large numbers.
        with torch.autocast(images.device.type, enabled=False):
            augmented = diff_augment(images, step.generator, step.world)
            return self.discriminator(augmented, step.generator)


class SingleStepFineTuningStage(FineTuningStage):
    """Stage 3 of a tokenizer that predicts all codes at once (TiTok); the decoder never sees a code."""

    def reconstruct(self, quantized: Tensor, generator: torch.Generator, world: World = SINGLE) -> Tensor:
        """Decode frozen tokens to images with one fully masked pass; nothing is drawn.

        Arguments and result are those of `FineTuningStage.reconstruct`.
        """
        return self.pixel_decoder.decode_soft(self.decoder.first_pass(quantized)).float()


@contextlib.contextmanager
def _unchanged(module: nn.Module) -> Iterator[None]:
    """In this context, passes through `module` give gradients to its inputs but not to its parameters."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
