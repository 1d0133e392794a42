"""The makers of everything that is trained: the classifier, the teacher, and the tokenizer's stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from experiments.tasks.base import MODEL, Task
from sftok.data.base import ImageSet
from sftok.data.batches import Batch, training_batches
from sftok.evaluation.classifier import Classifier, ClassifierConfig
from sftok.models.tokenizer import SFTok, SFTokConfig
from sftok.teacher.vqgan import MaskGITVQGAN, VQGANConfig
from sftok.tokens import TokenCache
from sftok.training.loop import TrainingConfig, train
from sftok.training.randomness import derived_seed, generator, seeded_initialisation
from sftok.training.stages.base import Stage
from sftok.training.stages.classifier import ClassifierStage
from sftok.training.stages.teacher import TeacherStage
from sftok.training.stages.tokenizer import (
    AlignmentConfig,
    AlignmentStage,
    TokenizerLossConfig,
    TokenizerStage,
    WarmUpStage,
)
from sftok.weights import load_tensors, save_tensors


def train_classifier(task: Task) -> dict[str, Any]:
    """The in-domain classifier."""
    config, image_set = task.config, task.load_data("train")
    model_config = ClassifierConfig(
        image_size=config["image_size"], num_classes=image_set.num_classes, channels=tuple(config["channels"])
    )
    with seeded_initialisation(config["seed"]):
        classifier = Classifier(model_config)
    return _train(task, ClassifierStage(classifier, config["label_smoothing"]), classifier, model_config, image_set)


def train_teacher(task: Task) -> dict[str, Any]:
    """The MaskGIT-VQGAN."""
    model_config = VQGANConfig.model_validate(task.config["model"])
    teacher = MaskGITVQGAN(model_config, generator(task.config["seed"], "initialisation"))
    return _train(task, TeacherStage(teacher), teacher, model_config, task.load_data("train"))


def train_stage(task: Task) -> dict[str, Any]:
    """Warm-up or alignment of the tokenizer; the result is a complete tokenizer, pixel decoder included."""
    config, image_set = task.config, task.load_data("train")
    model_config = SFTokConfig.model_validate(config["model"])
    tokenizer = SFTok.from_config(model_config, generator(config["seed"], "initialisation"))
    if "start" in task.inputs:
        tokenizer.load_state_dict(load_tensors(task.inputs["start"] / MODEL)[0])
    else:
        teacher, _ = load_tensors(task.inputs["teacher"] / MODEL)
        prefix = "pixel_decoder."
        own = {name.removeprefix(prefix): value for name, value in teacher.items() if name.startswith(prefix)}
        tokenizer.pixel_decoder.load_state_dict(own)
    codes = TokenCache(task.inputs["codes"], len(image_set), model_config.decoder.num_codes)
    loss = TokenizerLossConfig.model_validate(config["loss"])
    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder, codes, loss)
    stage: TokenizerStage
    if config["stage"] == "warm-up":
        stage = WarmUpStage(*parts)
    else:
        stage = AlignmentStage(*parts, AlignmentConfig.model_validate(config["alignment"]))
    return _train(task, stage, tokenizer, model_config, image_set)


def _train(task: Task, stage: Stage, model: Any, model_config: Any, image_set: ImageSet) -> dict[str, Any]:
    config = task.config
    training = TrainingConfig.model_validate(config["training"])
    seed = config["seed"]

    def batches(start: int) -> Iterator[Batch]:
        return training_batches(image_set, training.batch_size, derived_seed(seed, "order"), start)

    seconds = train(
        stage,
        batches,
        config["steps"],
        training,
        seed=derived_seed(seed, config.get("stage", task.artifact.kind)),
        folder=task.folder,
        monitor=task.monitor,
    )
    weights = save_tensors(
        task.folder / MODEL, model.state_dict(), {"config": json.dumps(model_config.model_dump(mode="json"))}
    )
    return {
        "weights": weights,
        "steps": config["steps"],
        "seconds": seconds,
        "images_per_second": config["steps"] * training.batch_size / seconds,
        "parameters": sum(parameter.numel() for parameter in stage.trained.parameters()),
    }
