"""Training shared by all trained kinds: runs the loop and saves the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from experiments.artifacts.context import MODEL, Context
from sftok.data.augmentation import AugmentationConfig
from sftok.data.batches import Batch, training_batches
from sftok.io.weights import save_tensors
from sftok.randomness import derived_seed
from sftok.training.loop import TrainingConfig, train

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn

    from experiments.artifacts.base import Artifact
    from sftok.data.base import ImageSet
    from sftok.training.compiling import CompileMode
    from sftok.training.stages.base import Stage


class Trained(Protocol):
    """The fields of an artifact that is trained."""

    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig


def views(augmentation: AugmentationConfig) -> AugmentationConfig | None:
    """The augmentation of the training images; None for center crops."""
    return augmentation if augmentation.active else None


def train_model(
    context: Context, artifact: Artifact, stage: Stage, model: nn.Module, record: BaseModel, images: ImageSet
) -> dict[str, Any]:
    """Train `stage` on `images`, and save the weights of `model` with the record that rebuilds it.

    Returns:
        The content of `result.json`; empty in all processes but the first.
    """
    trained: Trained = artifact  # type: ignore[assignment]
    training = trained.training

    def batches(start: int) -> Iterator[Batch]:
        order = derived_seed(trained.seed, "order")
        shown = views(trained.augmentation)
        return training_batches(images, training.batch_size, order, start, shown, context.world)

    seconds = train(
        stage,
        batches,
        trained.steps,
        training,
        seed=derived_seed(trained.seed, artifact.stage),
        folder=context.folder,
        monitor=context.monitor,
        device=context.open_device(artifact),
        world=context.world,
        compile=cast("CompileMode", artifact.compile),
    )
    if not context.world.is_first:
        return {}
    # `from_pretrained` and `open_tokenizer` read the architecture; neither opens a classifier.
    metadata = {
        "architecture": getattr(model, "architecture", "classifier"),
        "config": json.dumps(record.model_dump(mode="json")),
    }
    return {
        "weights": save_tensors(context.folder / MODEL, model.state_dict(), metadata),
        "steps": trained.steps,
        "seconds": seconds,
        "images_per_second": artifact.images / seconds,
        "parameters": sum(parameter.numel() for parameter in stage.trained.parameters()),
    }
