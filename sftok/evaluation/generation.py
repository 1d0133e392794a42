"""The evaluation of generators: samples of every class against a reference set (Section 4.3, Table 2).

```
labels, balanced -> generator -> tokens -> images -> uint8 -> features -> gfid, is, precision, recall
```

Feature spaces, rounding and metrics are those of reconstructions (`sftok.evaluation.reconstruction`). On one
machine, a seed fixes every number bit for bit, regardless of torch's thread count. To choose the guidance,
use training or validation images as the reference set; test images are only for the reported number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.evaluation.config import GenerationEvaluationConfig
from sftok.evaluation.examples import example_labels, example_places, of_classes
from sftok.evaluation.extractors.base import Extractor, check_asked
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import (
    Evaluation,
    GenerationProtocol,
    OnProgress,
    networks,
    own_settings,
    rows_of,
)
from sftok.evaluation.reference import reference_features
from sftok.evaluation.workers import in_order
from sftok.generation import DecodeTokens
from sftok.generators.base import Generator
from sftok.metrics.base import EvaluationError, Measured, Reference, build_metrics
from sftok.randomness import generator


class NotFiniteError(EvaluationError):
    """Generated images are not finite."""


@dataclass(frozen=True)
class _Samples:
    places: Tensor
    pixels: Tensor
    measured: Measured


def evaluate_generation(
    model: Generator,
    decode: DecodeTokens,
    reference_set: ImageSet,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    *,
    references: Sequence[Reference] | None = None,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Sample images of every class and compare them with `reference_set`.

    Args:
        model: the generator.
        decode: maps its tokens to images; called from several threads, with the tokenizer in evaluation mode.
        reference_set: images of the same classes.
        config: sampling, number of images, metrics, batch size, precision, seed.
        extractors: `config.extractors`, built.
        cache_dir: where features of the reference set are cached.
        references: `reference_set` in each of the spaces, if already computed.
        on_progress: called with the fraction done.

    Returns:
        Rows of subject `generation` at the coordinates of the generator's sampling; examples `S1`, `S2`, ...,
        one sample each of the classes of `example_labels`.

    Raises:
        EvaluationError: the extractors or the reference set do not fit the configuration or the model, or
            samples are not finite.
        PretrainedError: published weights that a metric needs are missing.
    """
    num_classes = model.num_classes
    _check(num_classes, reference_set, config, extractors)
    spaces = references or [
        reference_features(extractor, reference_set, cache_dir, config.batch_size) for extractor in extractors
    ]
    device = next(model.parameters()).device
    metrics = build_metrics(config.metrics, {"images", "reference_set"}, spaces, device)
    places, shown = example_places(config, num_classes), {}
    batches = torch.arange(config.num_images).split(config.batch_size)
    for samples in in_order(_sampler(model, decode, config, extractors), batches, device):
        for metric in metrics:
            metric.update(samples.measured)
        for place in torch.isin(samples.places, places).nonzero().flatten():
            shown[int(samples.places[place])] = samples.pixels[place].clone()
        on_progress((int(samples.places[-1]) + 1) / config.num_images)
    sampling = config.generation
    protocol = GenerationProtocol(
        extractors=networks(extractors, metrics),
        data=reference_set.fingerprint,
        n_images=config.num_images,
        n_reference=len(reference_set),
        metrics=own_settings(config.metrics),
        sampling=f"{sampling.steps} steps, {sampling.mask_schedule}; {config.choice}",
        precision=config.precision,
    )
    examples = {
        f"S{number}": torch.stack([shown[int(place)] for place in column]).numpy()
        for number, column in enumerate(places, 1)
    }
    return Evaluation(
        rows=rows_of(metrics, "generation", config.num_images, **model.coordinates(sampling)),
        metrics=config.described,
        protocol=protocol,
        examples=examples | of_classes(example_labels(config, num_classes), reference_set),
    )


def balanced_labels(places: Tensor, num_classes: int) -> Tensor:
    """Return the label of each sample, int64 `[n]` by place: every class in turn."""
    return places % num_classes


def _sampler(
    model: Generator,
    decode: DecodeTokens,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
) -> Callable[[Tensor], _Samples]:
    device = next(model.parameters()).device

    def sample(places: Tensor) -> _Samples:
        # Each batch has its own generator, so no draw depends on earlier samples or on the thread.
        noise = generator(config.seed, "generate", int(places[0]), device=device)
        labels = balanced_labels(places, model.num_classes).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            tokens = model.sample(labels, config.generation, noise)
        images = decode(tokens, noise)
        if not images.isfinite().all():
            raise NotFiniteError("generated images are not finite: train the generator again")
        pixels = to_uint8(images)
        features = {extractor.label: extractor(pixels) for extractor in extractors}
        return _Samples(places, pixels.cpu(), Measured(images=images, features=features))

    return sample


def _check(
    num_classes: int,
    reference_set: ImageSet,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
) -> None:
    check_asked(config.extractors, extractors)
    for metric in config.metrics:
        metric.check_weights()
    if len(reference_set) < 2:
        raise EvaluationError(
            f"{reference_set.name}: gfid needs at least two images, it has {len(reference_set)}"
        )
    if reference_set.num_classes != num_classes:
        raise EvaluationError(
            f"{reference_set.name} has {reference_set.num_classes} classes, the generator {num_classes}: "
            "compare it with images of the classes it was trained on"
        )
