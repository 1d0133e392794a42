"""The evaluation protocol: reconstructions of an image set under fixed conditions (Section 4.1).

```
images -> tokenizer.encode -> ids, once
for each T: ids -> decode in T steps -> reconstructions -> uint8 -> features -> rows
```

The reference of rFID is the same images, as the data set transforms them. A seed fixes every number bit for
bit on one machine, whatever torch's number of threads; a number at one T does not depend on the other T.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sftok.config import Config
from sftok.data.base import ImageSet
from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.bench import Bench, Reconstruct
from sftok.evaluation.config import EvaluationConfig, EvaluationError, ExtractorConfig
from sftok.evaluation.extractors import Extractor
from sftok.evaluation.metrics import CodeAccuracy, CodebookUsage, Metric
from sftok.evaluation.perceptual import LPIPS
from sftok.evaluation.reference import teacher_codes
from sftok.evaluation.workers import in_order
from sftok.models.titok import TiTok
from sftok.models.tokenizer import SFTok
from sftok.randomness import generator
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.weights import content_hash

__all__ = [
    "Evaluation",
    "EvaluationConfig",
    "EvaluationError",
    "ExtractorConfig",
    "MetricRow",
    "Protocol",
    "evaluate",
    "evaluate_real",
    "evaluate_teacher",
]

OnProgress = Callable[[float], None]
"""Told the fraction done, from 0 to 1."""


class MetricRow(Config):
    """One number."""

    steps: int | None
    """Decoding steps T; None where there is no decoding."""
    temperature: float | None
    metric: str
    extractor: str
    """The feature space; empty for metrics without one."""
    value: float
    n_images: int


class Protocol(Config):
    """What a number depends on beside the row's own: its model, and how that is decoded.

    Numbers of different protocols do not compare.
    """

    extractors: dict[str, str]
    """SHA-256 of the weights by label; the label names the resize, where the network has a choice.

    The network of the `lpips` metric is among them, where it is measured.
    """
    data: str
    """Fingerprint of the images, their order and their transform."""
    n_images: int
    reference: str = "the same images"
    rounding: str = "truncated to uint8"
    inception_score: str = "one split"
    pixel_metrics: str = "luma, mean over images"
    precision: str
    """Of the decoder's passes; whether a GPU rounds products of fp32 to TF32 is in the provenance."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """All of it with the fingerprint, for a result file."""
        return {"fingerprint": self.fingerprint, **self.model_dump(mode="json")}


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        rows: the numbers.
        protocol: what they depend on.
        examples: uint8 `[n, 3, H, W]` by name: `original`, and `T1`, `T2`, ... or `teacher`.
    """

    rows: list[MetricRow]
    protocol: Protocol
    examples: dict[str, np.ndarray]


def evaluate(
    tokenizer: SFTok,
    teacher: MaskGITVQGAN | None,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Measure the reconstructions of `tokenizer` at every number of decoding steps.

    Args:
        tokenizer: put into evaluation mode.
        teacher: the one it was trained with, put into evaluation mode; without it there is no
            `code_accuracy`.
        image_set: what to reconstruct, and what to compare with.
        config: steps, decoding, batch size, precision, seed.
        extractors: `config.extractors`, built.
        cache_dir: where features of the originals and the teacher's codes are kept between calls.
        on_progress: told the fraction done.

    Raises:
        EvaluationError: extractors or extra metrics that do not fit the configuration or the data.
    """
    device = next(tokenizer.parameters()).device
    # In decoder passes: one T costs its steps and about as much as six for pixels and features.
    progress = _Progress(on_progress, [8, *(steps + 6 for steps in config.steps)])
    bench = Bench.prepare(image_set, config, extractors, cache_dir, device)
    codes = teacher_codes(teacher.eval(), image_set, cache_dir, config.batch_size) if teacher else None
    ids, rows = _encode(tokenizer.eval(), bench)
    progress.next_phase()
    examples = {"original": image_set.images(bench.shown).numpy()}
    for steps in config.steps:
        metrics = [*bench.metrics(), *([CodeAccuracy()] if teacher else [])]
        reconstruct = _decoder(tokenizer, ids, config, steps)
        examples[f"T{steps}"] = bench.measure(reconstruct, codes, metrics, progress)
        rows += _rows(image_set, metrics, steps, config.temperature)
        progress.next_phase()
    return Evaluation(rows, _protocol(bench), examples)


def evaluate_single_step(
    tokenizer: TiTok,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Measure a tokenizer that decodes in one step; its rows say `steps` 1, whatever `config` asks for.

    Raises:
        EvaluationError: see `evaluate`.
    """
    device = next(tokenizer.parameters()).device
    progress = _Progress(on_progress, [1, 1])
    bench = Bench.prepare(image_set, config, extractors, cache_dir, device)
    ids, rows = _encode(tokenizer.eval(), bench)
    progress.next_phase()

    def reconstruct(batch: Batch) -> tuple[Tensor, None]:
        return tokenizer.decode(ids[batch.indices]), None

    metrics = bench.metrics()
    examples = {
        "original": image_set.images(bench.shown).numpy(),
        "T1": bench.measure(reconstruct, None, metrics, progress),
    }
    progress.next_phase()
    rows += _rows(image_set, metrics, steps=1)
    return Evaluation(rows, _protocol(bench), examples)


def evaluate_teacher(
    teacher: MaskGITVQGAN,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Measure the teacher's own reconstructions, what the tokenizer aims at; the rows have no steps.

    Raises:
        EvaluationError: see `evaluate`.
    """
    device = next(teacher.parameters()).device
    progress = _Progress(on_progress, [1, 1])
    bench = Bench.prepare(image_set, config, extractors, cache_dir, device)
    codes = teacher_codes(teacher.eval(), image_set, cache_dir, config.batch_size)
    progress.next_phase()

    def reconstruct(batch: Batch) -> tuple[Tensor, Tensor]:
        chosen = codes[batch.indices].to(device)
        return teacher.decode(chosen), chosen

    usage = CodebookUsage(teacher.codebook_size)
    usage.update(codes)
    metrics = bench.metrics()
    strip = bench.measure(reconstruct, codes, metrics, progress)
    progress.next_phase()
    return Evaluation(
        rows=_rows(image_set, [*metrics, usage]),
        protocol=_protocol(bench),
        examples={"original": image_set.images(bench.shown).numpy(), "teacher": strip},
    )


def evaluate_real(
    image_set: ImageSet, config: EvaluationConfig, extractors: Sequence[Extractor], cache_dir: Path
) -> Evaluation:
    """The inception score of the images themselves in each feature space; the rows have no steps.

    Raises:
        EvaluationError: see `evaluate`.
    """
    bench = Bench.prepare(image_set, config, extractors, cache_dir, torch.device("cpu"))
    return Evaluation(
        rows=[
            _row(image_set, "is", reference.extractor, reference.inception_score)
            for reference in bench.references
        ],
        protocol=_protocol(bench),
        examples={"original": image_set.images(bench.shown).numpy()},
    )


def _encode(tokenizer: SFTok | TiTok, bench: Bench) -> tuple[Tensor, list[MetricRow]]:
    """The ids `[images, K]` of all images, and how they use the codebook."""
    ids = torch.cat(
        list(in_order(lambda batch: tokenizer.encode(batch.images), bench.batches(), bench.device))
    )
    usage = CodebookUsage(tokenizer.codebook_size)
    usage.update(ids)
    return ids, _rows(bench.image_set, [usage])


def _decoder(tokenizer: SFTok, ids: Tensor, config: EvaluationConfig, steps: int) -> Reconstruct:
    decoding = config.decoding(steps)

    def reconstruct(batch: Batch) -> tuple[Tensor, Tensor]:
        # A generator for each batch: no draw depends on what was decoded before, or on which thread.
        noise = generator(config.seed, "decode", steps, int(batch.indices[0]), device=ids.device)
        return decode_ids(tokenizer, ids[batch.indices], decoding, config.precision, noise)

    return reconstruct


def decode_ids(
    tokenizer: SFTok,
    ids: Tensor,
    decoding: DecodingConfig,
    precision: Literal["fp32", "bf16"],
    noise: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Ids `[B, K]` to images `[B, 3, H, W]` in [0, 1] and the codes `[B, N]` that they come from.

    `precision` is that of the decoder's passes alone; `noise` is on the ids' device.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=precision == "bf16"):
        unmasked = tokenizer.decode_codes(ids, decoding, noise)
    if decoding.final_lookup == "soft":
        images = tokenizer.pixel_decoder.decode_soft(unmasked.logits.float())
    else:
        images = tokenizer.pixel_decoder.decode_codes(unmasked.ids)
    return images.clamp(0, 1), unmasked.ids


def _protocol(bench: Bench) -> Protocol:
    networks = {extractor.label: extractor.weights for extractor in bench.extractors}
    if bench.lpips is not None:
        networks[LPIPS.name] = content_hash(bench.lpips.state_dict())
    return Protocol(
        extractors=networks,
        data=bench.image_set.fingerprint,
        n_images=len(bench.image_set),
        precision=bench.config.precision,
    )


def _rows(
    image_set: ImageSet,
    metrics: Sequence[Metric[Any]],
    steps: int | None = None,
    temperature: float | None = None,
) -> list[MetricRow]:
    return [
        _row(image_set, name, metric.extractor, value, steps, temperature)
        for metric in metrics
        for name, value in metric.compute().items()
    ]


def _row(
    image_set: ImageSet,
    metric: str,
    extractor: str,
    value: float,
    steps: int | None = None,
    temperature: float | None = None,
) -> MetricRow:
    return MetricRow(
        steps=steps,
        temperature=temperature,
        metric=metric,
        extractor=extractor,
        value=value,
        n_images=len(image_set),
    )


class _Progress:
    """Turns the fraction done of one phase into the fraction done of all."""

    def __init__(self, on_progress: OnProgress, costs: Sequence[float]) -> None:
        self._on_progress = on_progress
        self._costs = costs
        self._phase = 0

    def __call__(self, fraction: float) -> None:
        """`fraction` of the present phase is done."""
        done = sum(self._costs[: self._phase]) + fraction * self._costs[self._phase]
        self._on_progress(done / sum(self._costs))

    def next_phase(self) -> None:
        """The present phase is done."""
        self(1.0)
        self._phase = min(self._phase + 1, len(self._costs) - 1)
