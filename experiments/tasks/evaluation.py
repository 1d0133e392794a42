"""The maker of an evaluation: of a trained tokenizer, or (without one among its inputs) of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.store import EXAMPLES
from experiments.tasks.base import MODEL, Task
from experiments.tasks.codes import load_teacher
from sftok.data.base import ImageSet
from sftok.evaluation.bench import NUM_EXAMPLES, balanced
from sftok.evaluation.config import EvaluationConfig, ExtractorConfig
from sftok.evaluation.extractors import Extractor, build_extractor
from sftok.evaluation.protocol import Evaluation, evaluate, evaluate_real, evaluate_teacher
from sftok.models.tokenizer import SFTok
from sftok.quantizers.tail_drop import FirstTokens


def evaluate_artifact(task: Task) -> dict[str, Any]:
    """Measure at every number of steps; `rows` say of what (`subject`), `examples.npz` holds the strips."""
    protocol = dict(task.config["protocol"])
    image_set = task.load_data(protocol.pop("split"))
    config = EvaluationConfig.model_validate(protocol)
    device = task.open_device()
    extractors = build_extractors(task, config.extractors, device)
    teacher = load_teacher(task).to(device)

    found: dict[str, Evaluation]
    if "tokenizer" in task.inputs:
        tokenizer = load_tokenizer(task).to(device)
        if "kept_tokens" in task.config:
            tokenizer.quantizer = FirstTokens(tokenizer.quantizer, task.config["kept_tokens"])
        found = {
            "tokenizer": evaluate(tokenizer, teacher, image_set, config, extractors, task.cache, task.report)
        }
    else:
        found = {
            "teacher": evaluate_teacher(teacher, image_set, config, extractors, task.cache, task.report),
            "real": evaluate_real(image_set, config, extractors, task.cache),
        }
    first = next(iter(found.values()))
    write_examples(task.folder / EXAMPLES, first, image_set)
    rows = [row.model_dump() | {"subject": subject} for subject, part in found.items() for row in part.rows]
    return {"rows": rows, "protocol": first.protocol.record()}


def write_examples(path: Path, evaluation: Evaluation, image_set: ImageSet) -> None:
    """The strips of originals and reconstructions as arrays, with the classes of the originals."""
    shown = balanced(image_set, NUM_EXAMPLES)
    labels = image_set.labels(shown).numpy()
    names = np.array(image_set.class_names)
    np.savez_compressed(path, labels=labels, class_names=names, **evaluation.examples)  # type: ignore[arg-type]


def load_tokenizer(task: Task) -> SFTok:
    """The trained tokenizer among the task's inputs, frozen."""
    return SFTok.from_pretrained(task.inputs["tokenizer"]).requires_grad_(False)


def build_extractors(task: Task, wanted: Sequence[ExtractorConfig], device: torch.device) -> list[Extractor]:
    """The feature spaces, the in-domain classifier's from the task's inputs."""
    classifier = task.inputs["classifier"] / MODEL if "classifier" in task.inputs else None
    return [
        build_extractor(extractor, classifier if extractor.name == "classifier" else None, device)
        for extractor in wanted
    ]
