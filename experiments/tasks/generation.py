"""The makers of generation: ids of the training images, the generator, its guidance, its evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.store import EXAMPLES, RESULT, read_json
from experiments.tasks.base import Task
from experiments.tasks.codes import load_teacher, write_ids
from experiments.tasks.evaluation import build_extractors, load_tokenizer
from experiments.tasks.training import train_model
from sftok.data.without_pixels import WithoutPixels
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.config import GenerationEvaluationConfig
from sftok.evaluation.generation import evaluate_generation, example_labels
from sftok.evaluation.guidance_choice import choose_guidance
from sftok.evaluation.protocol import decode_ids
from sftok.generation import DecodeIds
from sftok.models.generator import GeneratorConfig, MaskGITGenerator
from sftok.randomness import derived_seed, generator
from sftok.tokens import TokenCache
from sftok.training.stages.generator import GeneratorLossConfig, GeneratorStage


def write_token_cache(task: Task) -> dict[str, Any]:
    """Encode the training images with the frozen tokenizer."""
    return write_ids(task, load_tokenizer(task))


def train_generator(task: Task) -> dict[str, Any]:
    """The generator of the ids among the task's inputs."""
    image_set = task.load_data("train")
    model_config = GeneratorConfig(num_classes=image_set.num_classes, **task.config["model"])
    model = MaskGITGenerator(model_config, generator(task.config["seed"], "initialisation"))
    tokens = TokenCache(task.inputs["tokens"], len(image_set), model_config.num_tokens)
    loss = GeneratorLossConfig.model_validate(task.config["loss"])
    stage = GeneratorStage(model, tokens, loss)
    return train_model(task, stage, model, model_config, WithoutPixels(image_set))


def choose(task: Task) -> dict[str, Any]:
    """Measure every point of the grid; the result has all of them, and the one that is chosen."""
    protocol = dict(task.config["protocol"])
    reference_set = task.load_data(protocol.pop("split"))
    # Other noise than the evaluation's: no sample that is reported was chosen by.
    protocol["seed"] = derived_seed(protocol["seed"], "guidance")
    config = GenerationEvaluationConfig.model_validate({**protocol, "extra_metrics": ()})
    device = task.open_device()
    (extractor,) = build_extractors(task, config.extractors, device)
    found = choose_guidance(
        _load_generator(task).to(device),
        _decoder(task, config, device),
        reference_set,
        GuidanceGrid.model_validate(task.config["grid"]).points(**task.config["sampling"]),
        config,
        extractor,
        task.cache,
        task.report,
    )
    return {
        "points": [{**point.model_dump(mode="json"), "gfid": gfid} for point, gfid in found.points],
        "chosen": found.chosen.model_dump(mode="json"),
        "extractor": extractor.label,
        "reference": reference_set.name,
        "n_images": config.num_images,
    }


def evaluate_generator(task: Task) -> dict[str, Any]:
    """Measure the generator under the guidance that was chosen; `examples.npz` holds samples by class."""
    protocol = dict(task.config["protocol"])
    image_set = task.load_data(protocol.pop("split"))
    config = GenerationEvaluationConfig.model_validate(
        {
            **protocol,
            "generation": _chosen(task),
            "choice": _how_chosen(task.artifact.inputs["guidance"].config),
            "num_images": len(image_set),
        }
    )
    device = task.open_device()
    model = _load_generator(task).to(device)
    found = evaluate_generation(
        model,
        _decoder(task, config, device),
        image_set,
        config,
        build_extractors(task, config.extractors, device),
        task.cache,
        task.report,
    )
    labels = example_labels(config, model.config.num_classes).numpy()
    names = np.array(image_set.class_names)
    np.savez_compressed(task.folder / EXAMPLES, labels=labels, class_names=names, **found.examples)  # type: ignore[arg-type]
    rows = [row.model_dump() | {"subject": "generation"} for row in found.rows]
    return {
        "rows": rows,
        "protocol": found.protocol.record(),
        "sampling": config.generation.model_dump(mode="json"),
        "seed": config.seed,
    }


def _chosen(task: Task) -> GenerationConfig:
    result = read_json(task.inputs["guidance"] / RESULT) or {}
    return GenerationConfig.model_validate(result["chosen"])


def _how_chosen(guidance: Mapping[str, Any]) -> str:
    protocol = guidance["protocol"]
    (extractor,) = protocol["extractors"]
    return (
        f"guidance and temperature of the lowest gFID of {protocol['num_images']} samples against the "
        f"{protocol['split']} images ({extractor['name']}) among {json.dumps(guidance['grid'])}"
    )


def _load_generator(task: Task) -> MaskGITGenerator:
    return MaskGITGenerator.from_pretrained(task.inputs["generator"]).requires_grad_(False)


def _decoder(task: Task, config: GenerationEvaluationConfig, device: torch.device) -> DecodeIds:
    """Ids to images, by the tokenizer among the task's inputs, or by the teacher."""
    if "tokenizer" not in task.inputs:
        teacher = load_teacher(task).to(device)
        return lambda ids, noise: teacher.decode(ids)
    tokenizer = load_tokenizer(task).to(device)
    decoding = DecodingConfig.model_validate(task.config["decoding"])

    def decode(ids: Tensor, noise: torch.Generator) -> Tensor:
        images, _ = decode_ids(tokenizer, ids, decoding, config.precision, noise)
        return images

    return decode
