"""Stages 1 and 2 of the tokenizer: warming up, and distribution alignment (paper 3.2 and 3.3).

Both predict the frozen teacher's codes from the latent tokens. In the warm-up every position is masked; in
the alignment some positions are visible, and the paper's question is what they should show: the ground truth
(vanilla training) or the model's own first prediction (SFVR). See `sftok.training.contexts`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from pydantic import Field
from torch import nn

from sftok.config import Config
from sftok.data.batches import Batch
from sftok.decoding.schedule import MaskSchedule, sample_mask
from sftok.device import to_device
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.base import Decoder, Encoder
from sftok.quantizers.base import Quantized, Quantizer
from sftok.training.contexts.base import ContextConfig
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.stages.base import Losses, Stage, Step


class TokenizerLossConfig(Config):
    """The weights of the losses of stages 1 and 2; the defaults are Table 6."""

    quantizer_weight: float = Field(default=1.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    unmasked_weight: float = Field(default=0.1, ge=0)


class AlignmentConfig(Config):
    """Settings of the decoder's input in stage 2."""

    context: ContextConfig = PredictionConfig()
    """The codes shown at visible positions."""
    mask_schedule: MaskSchedule = "arccos"


TeacherCodes = Callable[[Batch], torch.Tensor]
"""Returns the teacher's codes, int64 `[B, N]`, of a batch: cached on disk or computed."""


class TokenizerStage(Stage):
    """Trains encoder, quantizer and decoder to predict the teacher's codes."""

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Quantizer,
        decoder: Decoder,
        teacher_codes: TeacherCodes,
        loss: TokenizerLossConfig,
    ):
        super().__init__()
        self.trained: nn.ModuleDict = nn.ModuleDict(
            {"encoder": encoder, "quantizer": cast(nn.Module, quantizer), "decoder": decoder}
        )
        self.teacher_codes = teacher_codes
        self.loss = loss

    @property
    def decoder(self) -> Decoder:
        """Predicts logits from latent tokens and visible codes."""
        return cast(Decoder, self.trained["decoder"])

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """Encoder and decoder."""
        return self.trained["encoder"], self.trained["decoder"]

    def ahead(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        """Return the teacher's codes."""
        return {"codes": to_device(self.teacher_codes(batch), batch.images.device)}

    @abstractmethod
    def visible_codes(self, codes: torch.Tensor, quantized: torch.Tensor, step: Step) -> torch.Tensor:
        """Return the decoder's input: codes, int64 `[B, N]`, with the mask id at masked positions."""

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return the masked cross-entropy against the teacher's codes, plus the quantizer's loss."""
        codes = (step.shared or self.ahead(step.batch))["codes"]
        encoder, quantizer = self.trained["encoder"], self.trained["quantizer"]
        quantized: Quantized = quantizer(encoder(step.batch.images), step.generator, step.world)
        visible = self.visible_codes(codes, quantized.quantized, step)
        masked = visible == self.decoder.mask_id
        # In float32, because on a CPU the argmax of bfloat16 is ten times slower.
        logits = self.decoder(visible, quantized.quantized).float()
        reconstruction = masked_cross_entropy(
            logits,
            codes,
            masked,
            unmasked_weight=self.loss.unmasked_weight,
            label_smoothing=self.loss.label_smoothing,
            world=step.world,
        )
        with torch.no_grad():
            hits = (logits.argmax(-1) == codes) & masked
            accuracy = hits.sum() / step.world.mean(masked.sum().float())
        return {
            "loss": reconstruction + self.loss.quantizer_weight * quantized.loss,
            "reconstruction_loss": reconstruction,
            "quantizer_loss": quantized.loss,
            "masked_accuracy": accuracy,
        }


class WarmUpStage(TokenizerStage):
    """Stage 1: every position is masked, as in single-step prediction."""

    def visible_codes(self, codes: torch.Tensor, quantized: torch.Tensor, step: Step) -> torch.Tensor:
        """Return the mask id everywhere."""
        return torch.full_like(codes, self.decoder.mask_id)


class AlignmentStage(TokenizerStage):
    """Stage 2: a random part is masked, and a context chooses what visible positions show.

    The targets are always the teacher's codes.
    """

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Quantizer,
        decoder: Decoder,
        teacher_codes: TeacherCodes,
        loss: TokenizerLossConfig,
        alignment: AlignmentConfig,
    ):
        super().__init__(encoder, quantizer, decoder, teacher_codes, loss)
        self.mask_schedule = alignment.mask_schedule
        self.context = alignment.context.build()

    def visible_codes(self, codes: torch.Tensor, quantized: torch.Tensor, step: Step) -> torch.Tensor:
        """Return the context's codes under a random mask."""

        @torch.no_grad()
        def first_logits() -> torch.Tensor:
            return self.decoder.first_pass(quantized).float()

        batch, num_codes = codes.shape
        drawn = sample_mask((step.world.size * batch, num_codes), self.mask_schedule, step.generator)
        masked = to_device(step.world.share(drawn), codes.device)
        return torch.where(masked, self.decoder.mask_id, self.context(codes, first_logits, step))
