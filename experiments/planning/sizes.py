"""Parameters of a configuration and operations of its training steps, counted without allocating memory.

Modules are created on torch's meta device, which has shapes but no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from experiments.recipe import Recipe
from experiments.requests import GPU_FLOPS
from experiments.specs.experiment import Subject
from sftok.checkpoints.pretrained import without_weights
from sftok.losses.perceptual import PerceptualConfig
from sftok.models.discriminator import DiscriminatorConfig
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.pixel import PixelTokenizer
from sftok.tokenizers.sftok import SFTok, SFTokConfig

_BACKWARD = 2
"""Cost of a backward pass through weights and inputs, in forward passes; through inputs alone it is one."""


def parameter_counts(recipe: Recipe, subject: Subject = "tokenizer") -> dict[str, int]:
    """Parameters by part (encoder, quantizer, decoder, pixel_decoder) and in total."""
    tokenizer: nn.Module
    with without_weights():
        if subject == "teacher":
            tokenizer = MaskGITVQGAN(recipe.teacher.backbone, recipe.data.image_size)
        elif subject == "pixels":
            tokenizer = PixelTokenizer(recipe.pixel_tokenizer_config())
        else:
            tokenizer = SFTok.from_config(recipe.tokenizer_config())
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in tokenizer.named_children()
    }
    return counts | {"total": sum(counts.values())}


def training_flops(recipe: Recipe, stage: str) -> float:
    """Operations per image of one training step of `stage` (as artifacts name it).

    Not counted: the quantizer, the heads of the discriminator, the optimizer.
    """
    encoder, decoder, teacher, pixels = _model_flops(recipe.tokenizer_config().model_dump_json())
    guided = recipe.stage2.context.predicts
    tokenizer = (1 + _BACKWARD) * (encoder + decoder) + (0.0 if recipe.codes_are_cached else teacher)
    if stage == "warm-up":
        return tokenizer
    if stage == "alignment":
        return tokenizer + guided * decoder
    first_pass = decoder if stage == "fine-tuning" else 0.0
    size = recipe.data.image_size
    # The perceptual network processes both images and backpropagates through one of them; the discriminator's
    # processes the reconstruction, backpropagates, and then processes both.
    judges = 3 * _sketched_flops(recipe.stage3.perceptual, size)
    judges += 4 * _sketched_flops(recipe.stage3.discriminator, size)
    return encoder + first_pass + (1 + _BACKWARD) * (decoder + pixels) + judges


def stages_of(recipe: Recipe) -> dict[str, int]:
    """Number of training images of each stage of a tokenizer, by the stage names of its artifacts."""
    single = recipe.single_step
    stages = {
        "warm-up": (recipe.warm_up_steps, recipe.stage1.training),
        "alignment": (recipe.alignment_steps, recipe.stage2.training),
        "single-step-fine-tuning" if single else "fine-tuning": (recipe.stage3.steps, recipe.stage3.training),
    }
    return {
        stage: steps * training.batch_size * training.gradient_accumulation
        for stage, (steps, training) in stages.items()
    }


def gpu_hours(recipe: Recipe) -> dict[str, float]:
    """Estimated GPU hours of a row's training at `GPU_FLOPS`, by column of Table 5."""
    stage1, stage2, stage3 = (
        images * training_flops(recipe, stage) / GPU_FLOPS / 3600
        for stage, images in stages_of(recipe).items()
    )
    stage3 = stage3 if recipe.fine_tuned else 0.0
    return {
        "hours_stages_1_2": stage1 + stage2,
        "hours_stage_3": stage3,
        "hours_total": stage1 + stage2 + stage3,
    }


@cache
def _model_flops(tokenizer: str) -> tuple[float, float, float, float]:
    """Operations of encoder, decoder, teacher's encoder and pixel decoder for one image, forward only."""
    config = SFTokConfig.model_validate_json(tokenizer)
    with without_weights():
        parts = SFTok.from_config(config)
        teacher = MaskGITVQGAN(config.pixel_decoder, config.image_size)
        images = torch.empty(1, 3, config.image_size, config.image_size)
        latents = torch.empty(1, config.num_latent_tokens, config.token_dim)
        ids = torch.zeros(1, config.pixel_decoder.num_codes(config.image_size), dtype=torch.int64)
    return (
        _count(lambda: parts.encoder(images)),
        _count(lambda: parts.decoder(ids, latents)),
        _count(lambda: teacher.encoder(images)),
        _count(lambda: parts.pixel_decoder.decode_codes(ids)),
    )


@cache
def _sketched_flops(config: PerceptualConfig | DiscriminatorConfig, image_size: int) -> float:
    """Operations of a forward pass through a component's frozen network for one image."""
    sketch = config.sketch(image_size)
    if sketch is None:
        return 0.0
    network, images = sketch
    return _count(lambda: network(images))


@torch.no_grad()
def _count(forward: Callable[[], Tensor]) -> float:
    with FlopCounterMode(display=False) as counter:
        forward()
    return float(counter.get_total_flops())
