"""The maker of a checkpoint's evaluation: foreign weights under the same protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments.store import EXAMPLES
from experiments.tasks.base import Task
from experiments.tasks.evaluation import write_examples
from sftok import hub
from sftok.checkpoints import CheckpointError
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.extractors import build_extractor
from sftok.evaluation.protocol import Evaluation, evaluate, evaluate_single_step, evaluate_teacher
from sftok.models.titok import TiTok
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN


def _evaluate_sftok(tokenizer: SFTok, *arguments: Any) -> Evaluation:
    return evaluate(tokenizer, None, *arguments)


MEASURE: dict[type, Callable[..., Evaluation]] = {
    SFTok: _evaluate_sftok,
    TiTok: evaluate_single_step,
    MaskGITVQGAN: evaluate_teacher,
}


def evaluate_checkpoint(task: Task) -> dict[str, Any]:
    """Measure the tokenizer of a checkpoint; without its teacher there is no code accuracy.

    Raises:
        CheckpointError: its file is not the one that was asked for any more.
    """
    protocol = dict(task.config["protocol"])
    image_set = task.load_data(protocol.pop("split"))
    config = EvaluationConfig.model_validate(protocol)
    device = task.open_device()
    extractors = [build_extractor(extractor, device=device) for extractor in config.extractors]
    opened_from = task.config["opened_from"]
    tokenizer = hub.open_tokenizer(**opened_from)
    if hub.identity(tokenizer) != task.config["identity"]:
        raise CheckpointError(f"{opened_from['reference']}: changed since it was read; evaluate it again")

    measure = MEASURE[type(tokenizer)]
    found = measure(tokenizer.to(device), image_set, config, extractors, task.cache, task.report)
    write_examples(task.folder / EXAMPLES, found, image_set)
    rows = [row.model_dump() for row in found.rows]
    # Where it lay is in no key, which a moved file keeps; but people look for it here.
    return {"rows": rows, "protocol": found.protocol.record(), "opened_from": opened_from}
