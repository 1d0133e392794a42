"""The maker of an analysis: Figure 4a's steps, or Appendix C's contexts, of one trained tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from experiments.records.quantities import at_visible, of_step
from experiments.tasks.base import Task
from experiments.tasks.codes import load_teacher
from experiments.tasks.evaluation import load_tokenizer
from sftok.analysis.config import AnalysisConfig
from sftok.analysis.context import ContextGaps
from sftok.analysis.measure import measure
from sftok.analysis.steps import StepStatistics
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.protocol import MetricRow
from sftok.quantizers.tail_drop import FirstTokens


class Found(NamedTuple):
    """One number."""

    metric: str
    steps: int | None
    temperature: float | None
    value: float


def analyse(task: Task) -> dict[str, Any]:
    """Measure what the artifact's `analysis` names; `rows` are as those of an evaluation."""
    config = dict(task.config)
    image_set = task.load_data(config["split"])
    found, images = ANALYSES[config["analysis"]](task, AnalysisConfig.model_validate(config["settings"]))
    rows = [
        MetricRow(extractor="", n_images=images, **number._asdict()).model_dump() | {"subject": "tokenizer"}
        for number in found
    ]
    return {"rows": rows, "images": images, "data": image_set.fingerprint}


def _steps(task: Task, config: AnalysisConfig) -> tuple[Iterator[Found], int]:
    """Figure 4a: every step's predictions against the teacher's codes and the final prediction."""
    decoding = DecodingConfig.model_validate(task.config["decoding"])
    statistic, images = _measure(task, config, lambda: StepStatistics(decoding))
    found = (
        Found(of_step(name), step, decoding.temperature, value)
        for step, values in enumerate(statistic.compute(), 1)
        for name, value in values.items()
    )
    return found, images


def _contexts(task: Task, config: AnalysisConfig) -> tuple[Iterator[Found], int]:
    """Appendix C: cross-entropy, accuracy and its bound given true codes, the model's own, or none."""
    contexts = task.config["contexts"]
    statistic, images = _measure(task, config, lambda: ContextGaps(config.visible_fractions, contexts))
    found = (
        Found(at_visible(name, fraction), None, None, value)
        for fraction, values in statistic.compute().items()
        for name, value in values.items()
    )
    return found, images


def _measure(task: Task, config: AnalysisConfig, new: Callable[[], Any]) -> tuple[Any, int]:
    device = task.open_device()
    tokenizer, teacher = load_tokenizer(task).to(device), load_teacher(task).to(device)
    if "kept_tokens" in task.config:
        tokenizer.quantizer = FirstTokens(tokenizer.quantizer, task.config["kept_tokens"])
    return measure(new, tokenizer, teacher, task.load_data(task.config["split"]), config, task.report)


Analysis = Callable[[Task, AnalysisConfig], tuple[Iterator[Found], int]]

ANALYSES: Mapping[str, Analysis] = {"steps": _steps, "contexts": _contexts}
