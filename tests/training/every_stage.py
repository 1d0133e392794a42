"""Every stage with every kind of network, tiny: those of `parallel_worker`, and those that it lacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import lpips
import torch
from parallel_worker import STAGES, codes
from small_models import draw, seeded
from small_training import fine_tuning_stage, tokenizer_stage
from timm.models.vision_transformer import VisionTransformer

from sftok.data.batches import Batch
from sftok.evaluation.extractors.vicreg import SelfSupervised
from sftok.features.vit import ViTFeatures
from sftok.generators.base import GeneratorConfig, GeneratorLossConfig, TokenShape
from sftok.generators.diffusion_unet import UNetConfig
from sftok.generators.diffusion_uvit import UViTConfig
from sftok.generators.llamagen import LlamaGenConfig
from sftok.generators.open_magvit2 import OpenMagvit2Config
from sftok.losses.efficientnet_lite0 import EfficientNetLoss
from sftok.losses.lpips import LpipsLoss
from sftok.losses.perceptual import PerceptualLoss
from sftok.models.classifier import Classifier, ClassifierConfig
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.models.discriminator import Discriminator
from sftok.models.efficientnet_lite0 import (
    EfficientNetFeatures,
    ProjectedDiscriminator,
    ProjectedDiscriminatorConfig,
    efficientnet_lite0,
)
from sftok.randomness import seeded_initialization
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig
from sftok.training.contexts.sampled import SampledConfig
from sftok.training.semantic import SemanticConfig, SemanticLoss
from sftok.training.stages.base import Stage
from sftok.training.stages.classifier import ClassifierStage
from sftok.training.stages.fine_tuning import FineTuningStage
from sftok.training.stages.generator import GeneratorStage
from sftok.training.stages.pixels import PixelStage
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage
from sftok.training.stages.vicreg import VICRegStage

SIZE = 16
CONVOLUTIONS = {"hidden_channels": 8, "channel_multipliers": (1, 1, 2), "norm_groups": 4, "num_res_blocks": 1}
TAMING = {"name": "taming", **CONVOLUTIONS, "attention_levels": (2,), "z_channels": 6}
TRANSFORMER = {"width": 16, "depth": 2, "heads": 2, "patch_size": 4}


def pixels(autoencoder: dict[str, Any], quantizer: dict[str, Any], latent_dim: int = 6) -> Stage:
    config = PixelTokenizerConfig(
        image_size=SIZE, autoencoder=autoencoder, quantizer=quantizer, latent_dim=latent_dim
    )
    return PixelStage(PixelTokenizer(config, seeded(1)))


def semantic() -> Stage:
    """ImageFolder: several branches and scales, and the supervision of the last branch by a ViT."""
    config = PixelTokenizerConfig(
        image_size=SIZE,
        autoencoder={"name": "imagefolder", **TRANSFORMER, "latent_grid": 3, "layer_scale": 0.5},
        quantizer={"name": "multiscale", "codebook_size": 16, "scales": (1, 2, 3), "fewest_scales": 2},
        latent_dim=6,
    )
    with seeded_initialization(0):
        shape = {"img_size": 12, "patch_size": 4, "embed_dim": 12, "depth": 1, "num_heads": 2}
        vit = VisionTransformer(**shape, num_classes=0)
    features = ViTFeatures(vit, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    loss = SemanticLoss(SemanticConfig(features={"name": "classifier"}), features, 6, seeded(2))
    return PixelStage(PixelTokenizer(config, seeded(1)), loss)


def latents(batch: Batch) -> torch.Tensor:
    return draw(40, 16, 4, seed=5)[batch.indices].to(batch.images.device)


def generator(config: GeneratorConfig) -> Stage:
    """Of the ids of `codes`, or with diffusion of `latents`."""
    continuous = config.reference.startswith("diffusion")
    shape = {"latent_dim": 4} if continuous else {"vocabulary": 32}
    model = config.build(TokenShape(num_tokens=16, **shape), 2, seeded(1))
    return GeneratorStage(model, latents if continuous else codes, GeneratorLossConfig(class_drop=0.4))


def classifier() -> Stage:
    with seeded_initialization(0):
        return ClassifierStage(Classifier(ClassifierConfig(image_size=SIZE, num_classes=2, channels=(4, 8))))


def judge() -> Stage:
    with seeded_initialization(0):
        return VICRegStage(SelfSupervised((8, 12)))


def sampled() -> Stage:
    return tokenizer_stage(AlignmentStage, codes, AlignmentConfig(context=SampledConfig()))


def projected() -> Stage:
    """A frozen codebook behind a trained projection."""
    stage = pixels(
        {**TAMING, "halvings": 1, "haar_levels": 1},
        {"name": "projected", "codebook_size": 16, "source_dim": 5},
    )
    stage.trained.quantizer.load_codebook(draw(16, 5))  # type: ignore[union-attr, operator]
    return stage


def fine_tuning_against(perceptual: PerceptualLoss, discriminator: Discriminator) -> Stage:
    def kind(*parts: Any) -> FineTuningStage:
        return FineTuningStage(*parts[:4], perceptual, discriminator, parts[-1])

    return fine_tuning_stage(kind, discriminator_start=0)[1]  # type: ignore[arg-type]


def vgg_and_dino() -> Stage:
    """With the networks of the paper, without their weights; the ViT sees larger images than there are."""
    with seeded_initialization(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package calls torchvision as of 2022
        vgg = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
        shape = {"img_size": 24, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 2}
        vit = VisionTransformer(**shape, num_classes=0)
    options = DinoDiscriminatorConfig(depths=(1,), kernel_size=3, norm_batch=4)
    return fine_tuning_against(LpipsLoss(vgg), DinoDiscriminator(options, vit))


def efficientnet() -> Stage:
    """With the networks of small data."""
    options = ProjectedDiscriminatorConfig(resolution=32, channels=4, norm_batch=4)
    features = EfficientNetFeatures(efficientnet_lite0(), 32)
    return fine_tuning_against(
        EfficientNetLoss(features), ProjectedDiscriminator(options, efficientnet_lite0(), seeded())
    )


AUTOREGRESSIVE = {"width": 16, "depth": 1, "heads": 2}

EVERY_STAGE: dict[str, Callable[[], Stage]] = {
    **STAGES,
    "sampled": sampled,
    "classifier": classifier,
    "judge": judge,
    "pixels, residual": partial(pixels, TAMING, {"name": "residual", "codebook_size": 16, "depth": 2}),
    "pixels, lfq": partial(pixels, {"name": "open-magvit2", **CONVOLUTIONS}, {"name": "lfq", "bits": 6}),
    "pixels, gaussian": partial(pixels, {"name": "ldm", **CONVOLUTIONS}, {"name": "gaussian"}),
    "pixels, semantic": semantic,
    "llamagen": lambda: generator(LlamaGenConfig(**AUTOREGRESSIVE)),
    "open-magvit2": lambda: generator(OpenMagvit2Config(**AUTOREGRESSIVE, bits=(2, 3), intra_depth=1)),
    "diffusion-unet": lambda: generator(
        UNetConfig(channels=(8, 16), num_res_blocks=1, head_dim=8, norm_groups=4)
    ),
    "diffusion-uvit": lambda: generator(UViTConfig(width=16, depth=2, heads=2)),
}

OTHER_PARTS: dict[str, Callable[[], Stage]] = {
    "vgg and dino": vgg_and_dino,
    "efficientnet": efficientnet,
    "projected": projected,
    "spatial norm": partial(
        pixels, {**TAMING, "decoder_norm": "spatial"}, {"name": "fsq", "levels": (3, 3, 3, 3, 3, 3)}
    ),
    "maskbit": partial(
        pixels,
        {"name": "maskbit", **CONVOLUTIONS},
        {"name": "multichannel", "codebook_size": 16, "chunks": 2},
    ),
    "vit-vqgan": partial(
        pixels,
        {"name": "vit-vqgan", **TRANSFORMER, "mlp_width": 32, "head_width": 8},
        {"name": "vq", "codebook_size": 16},
    ),
    "dc-ae": partial(
        pixels,
        {
            "name": "dc-ae",
            "channels": (8, 8, 16),
            "encoder_blocks": (0, 1, 1),
            "decoder_blocks": (0, 1, 1),
            "attention_stages": 1,
            "head_dim": 8,
        },
        {"name": "optvq", "codebook_size": 16},
        latent_dim=4,
    ),
    "titok": partial(
        pixels,
        {
            "name": "titok",
            "num_latent_tokens": 5,
            "encoder": {"name": "vit", **TRANSFORMER},
            "decoder": {"width": 16, "depth": 2, "heads": 2},
            "patch_size": 4,
        },
        {"name": "late-vq", "codebook_size": 16},
    ),
}
"""Networks and quantizers that no stage above has."""
