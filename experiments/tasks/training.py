"""The makers of what is trained: classifier and tokenizer stages; and how anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import nn

from experiments.recipe import FineTuningRecipe
from experiments.tasks.base import MODEL, Task
from experiments.tasks.codes import load_teacher
from sftok.data.base import ImageSet
from sftok.data.batches import Batch, training_batches
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.classifier import Classifier, ClassifierConfig
from sftok.models.decoder import Decoder
from sftok.models.encoder import Encoder
from sftok.models.tokenizer import SFTok, SFTokConfig
from sftok.pretrained import discriminator, perceptual_loss
from sftok.quantizers.base import Quantizer
from sftok.quantizers.tail_drop import TailDrop
from sftok.randomness import derived_seed, generator, seeded_initialisation
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.tokens import TokenCache, TokensOnTheFly
from sftok.training.loop import TrainingConfig, train
from sftok.training.stages.base import Stage
from sftok.training.stages.classifier import ClassifierStage
from sftok.training.stages.fine_tuning import FineTuningStage, SingleStepFineTuningStage
from sftok.training.stages.tokenizer import (
    AlignmentConfig,
    AlignmentStage,
    TeacherCodes,
    TokenizerLossConfig,
    WarmUpStage,
)
from sftok.weights import content_hash, save_tensors

TokenizerParts = tuple[Encoder, Quantizer, Decoder, TeacherCodes, TokenizerLossConfig]

_SINGLE_STEP = DecodingConfig(steps=1, temperature=0.0)
"""How a tokenizer is decoded whose decoder was trained without visible codes."""


def train_classifier(task: Task) -> dict[str, Any]:
    """The in-domain classifier."""
    config, image_set = task.config, task.load_data("train")
    model_config = ClassifierConfig(
        image_size=config["image_size"], num_classes=image_set.num_classes, channels=tuple(config["channels"])
    )
    with seeded_initialisation(config["seed"]):
        classifier = Classifier(model_config)
    return train_model(
        task, ClassifierStage(classifier, config["label_smoothing"]), classifier, model_config, image_set
    )


def train_stage(task: Task) -> dict[str, Any]:
    """A stage of the tokenizer; the result is a complete tokenizer, pixel decoder included."""
    tokenizer = _starting_tokenizer(task)
    image_set = task.load_data("train")
    stage = STAGES[task.config["stage"]](task, tokenizer, image_set)
    result = train_model(task, stage, tokenizer, tokenizer.record, image_set)
    if isinstance(stage, FineTuningStage) and task.world.is_first:
        # The key holds their names alone, so that a machine without the files can read the store.
        result["networks"] = {
            loss: content_hash(network.module.state_dict()) for loss, network in stage.networks.items()
        }
    return result


def _starting_tokenizer(task: Task) -> SFTok:
    """What the stage before left, or fresh weights around the teacher's pixel decoder."""
    if "start" in task.inputs:
        return SFTok.from_pretrained(task.inputs["start"])
    model_config = SFTokConfig.model_validate(task.config["model"])
    tokenizer = SFTok.from_config(model_config, generator(task.config["seed"], "initialisation"))
    teacher = MaskGITVQGAN.from_pretrained(task.inputs["teacher"])
    tokenizer.pixel_decoder.load_state_dict(teacher.pixel_decoder.state_dict())
    return tokenizer


def _tokenizer_parts(task: Task, tokenizer: SFTok, image_set: ImageSet) -> TokenizerParts:
    codes = _teacher_codes(task, image_set, tokenizer.decoder.config.num_codes)
    loss = TokenizerLossConfig.model_validate(task.config["loss"])
    quantizer = cast(Quantizer, _training_quantizer(task, tokenizer))
    return tokenizer.encoder, quantizer, tokenizer.decoder, codes, loss


def _teacher_codes(task: Task, image_set: ImageSet, num_codes: int) -> TeacherCodes:
    """The codes of the very views that the encoder sees: kept, or computed at every step."""
    if "codes" in task.inputs:
        return TokenCache(task.inputs["codes"], len(image_set), num_codes, task.augmentation)
    return TokensOnTheFly(load_teacher(task).to(task.open_device()))


def _training_quantizer(task: Task, tokenizer: SFTok) -> nn.Module:
    """The tokenizer's quantizer as training sees it: the weights are the tokenizer's own either way."""
    quantizer = cast(nn.Module, tokenizer.quantizer)
    return TailDrop(tokenizer.quantizer) if task.config.get("tail_drop") else quantizer


def _warm_up(task: Task, tokenizer: SFTok, image_set: ImageSet) -> Stage:
    # It learns to predict everything at once; decoding in steps is what the next stage is for.
    tokenizer.decoding = _SINGLE_STEP
    return WarmUpStage(*_tokenizer_parts(task, tokenizer, image_set))


def _alignment(task: Task, tokenizer: SFTok, image_set: ImageSet) -> Stage:
    alignment = AlignmentConfig.model_validate(task.config["alignment"])
    tokenizer.decoding = DecodingConfig()
    return AlignmentStage(*_tokenizer_parts(task, tokenizer, image_set), alignment)


def _fine_tuning(task: Task, tokenizer: SFTok, image_set: ImageSet) -> Stage:
    return _fine_tuning_stage(FineTuningStage, task, tokenizer)


def _single_step_fine_tuning(task: Task, tokenizer: SFTok, image_set: ImageSet) -> Stage:
    return _fine_tuning_stage(SingleStepFineTuningStage, task, tokenizer)


def _fine_tuning_stage(kind: type[FineTuningStage], task: Task, tokenizer: SFTok) -> Stage:
    config = FineTuningRecipe.model_validate(
        {
            **task.config["fine_tuning"],
            "steps": task.config["steps"],
            "perceptual": task.config["perceptual"],
            "discriminator": task.config["discriminator"],
        }
    )
    # What stage 3 trains is the soft lookup, so that is how its tokenizer is decoded from here on.
    in_steps = _SINGLE_STEP if kind is SingleStepFineTuningStage else DecodingConfig()
    tokenizer.decoding = in_steps.model_copy(update={"final_lookup": "soft"})
    return kind(
        tokenizer.encoder,
        _training_quantizer(task, tokenizer),
        tokenizer.decoder,
        tokenizer.pixel_decoder,
        perceptual_loss(config.perceptual),
        discriminator(config.discriminator, generator=generator(task.config["seed"], "discriminator")),
        config,
    )


StageMaker = Callable[[Task, SFTok, ImageSet], Stage]

STAGES: Mapping[str, StageMaker] = {
    "warm-up": _warm_up,
    "alignment": _alignment,
    "fine-tuning": _fine_tuning,
    "single-step-fine-tuning": _single_step_fine_tuning,
}


def train_model(
    task: Task, stage: Stage, model: Any, model_config: Any, image_set: ImageSet
) -> dict[str, Any]:
    """Train `stage` on `image_set`, and write the weights of `model` with its configuration."""
    config = task.config
    training = TrainingConfig.model_validate(config["training"])
    seed = config["seed"]

    def batches(start: int) -> Iterator[Batch]:
        order = derived_seed(seed, "order")
        return training_batches(image_set, training.batch_size, order, start, task.augmentation, task.world)

    seconds = train(
        stage,
        batches,
        config["steps"],
        training,
        seed=derived_seed(seed, config.get("stage", task.artifact.kind)),
        folder=task.folder,
        monitor=task.monitor,
        device=task.open_device(),
        world=task.world,
    )
    if not task.world.is_first:
        return {}
    images = config["steps"] * training.batch_size * training.gradient_accumulation
    weights = save_tensors(
        task.folder / MODEL, model.state_dict(), {"config": json.dumps(model_config.model_dump(mode="json"))}
    )
    return {
        "weights": weights,
        "steps": config["steps"],
        "seconds": seconds,
        "images_per_second": images / seconds,
        "parameters": sum(parameter.numel() for parameter in stage.trained.parameters()),
    }
