"""The protocol for generators: samples of every class against a reference set (Section 4.3, Table 2).

```
labels, balanced -> generator -> ids -> images -> uint8 -> features -> gfid, is, precision, recall
```

Feature spaces, rounding and metrics are those of reconstructions (`sftok.evaluation.protocol`). A seed fixes
every number bit for bit on one machine, whatever torch's number of threads. To choose the guidance, give
training or validation images as the reference set; test images are for the number that is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.evaluation.config import EvaluationError, GenerationEvaluationConfig
from sftok.evaluation.extractors import Extractor, Features, check_asked
from sftok.evaluation.fidelity import Fidelity, to_uint8
from sftok.evaluation.protocol import Evaluation, MetricRow, OnProgress, Protocol
from sftok.evaluation.reference import Reference, reference_features
from sftok.evaluation.workers import in_order
from sftok.generation import DecodeIds, generate_ids
from sftok.models.generator import MaskGITGenerator
from sftok.randomness import generator


class GenerationProtocol(Protocol):
    """As of reconstructions; n_images are the samples."""

    reference: str = "another set of images"
    n_reference: int
    """Images in the reference set, of which `data` is the fingerprint."""
    labels: str = "every class in turn"
    sampling: str
    """Steps and mask schedule, and how guidance and temperature were chosen; not the choice itself."""
    pixel_metrics: str = "none"


@dataclass(frozen=True)
class _Samples:
    places: Tensor
    pixels: Tensor
    features: dict[str, Features]


def evaluate_generation(
    model: MaskGITGenerator,
    decode_ids: DecodeIds,
    reference_set: ImageSet,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
    references: Sequence[Reference] | None = None,
) -> Evaluation:
    """Sample images of every class and hold them against `reference_set`.

    Args:
        model: the generator.
        decode_ids: its ids to images, called from several threads; the tokenizer in evaluation mode.
        reference_set: of the same classes.
        config: sampling, number of images, batch size, precision, seed.
        extractors: `config.extractors`, built.
        cache_dir: where features of the reference set are kept between calls.
        on_progress: told the fraction done.
        references: `reference_set` in each of the spaces, if it is at hand.

    Returns:
        Rows `gfid`, `is` and the extra metrics in each feature space, with the sampling's steps and
        temperature; as the examples `S1`, `S2`, ... a sample each of the classes of `example_labels`.

    Raises:
        EvaluationError: extractors or a reference set that do not fit the configuration or the model.
    """
    _check(model, reference_set, config, extractors)
    references = references or [
        reference_features(extractor, reference_set, cache_dir, config.batch_size) for extractor in extractors
    ]
    metrics = [Fidelity(reference, config.extra_metrics, fid="gfid") for reference in references]
    device = next(model.parameters()).device
    places, shown = example_places(config, model.num_classes), {}
    batches = torch.arange(config.num_images).split(config.batch_size)
    for samples in in_order(_sampler(model, decode_ids, config, extractors), batches, device):
        for metric in metrics:
            metric.update(samples)
        for row in torch.isin(samples.places, places).nonzero().flatten():
            shown[int(samples.places[row])] = samples.pixels[row]
        on_progress((int(samples.places[-1]) + 1) / config.num_images)
    rows = [
        MetricRow(
            steps=config.generation.steps,
            temperature=config.generation.temperature,
            metric=name,
            extractor=metric.extractor,
            value=value,
            n_images=config.num_images,
        )
        for metric in metrics
        for name, value in metric.compute().items()
    ]
    protocol = GenerationProtocol(
        extractors={extractor.label: extractor.weights for extractor in extractors},
        data=reference_set.fingerprint,
        n_images=config.num_images,
        n_reference=len(reference_set),
        sampling=f"{config.generation.steps} steps, {config.generation.mask_schedule}; {config.choice}",
        precision=config.precision,
    )
    examples = {
        f"S{number}": torch.stack([shown[int(place)] for place in column]).numpy()
        for number, column in enumerate(places, 1)
    }
    return Evaluation(rows, protocol, examples)


def balanced_labels(places: Tensor, num_classes: int) -> Tensor:
    """The label of each sample, int64 `[n]` by place: every class in turn."""
    return places % num_classes


def example_labels(config: GenerationEvaluationConfig, num_classes: int) -> Tensor:
    """The classes of which samples are kept, int64 `[c]`, ascending and spread evenly over all."""
    sampled = min(num_classes, config.num_images)
    count = min(config.example_classes, sampled)
    return torch.arange(count) * sampled // count


def example_places(config: GenerationEvaluationConfig, num_classes: int) -> Tensor:
    """Which samples are kept, int64 `[n, c]`: a line holds one of each class of `example_labels`.

    There are `config.examples_per_class` lines, or fewer where so many were not sampled of each class.
    """
    lines = min(config.examples_per_class, max(1, config.num_images // num_classes))
    return example_labels(config, num_classes) + num_classes * torch.arange(lines).unsqueeze(1)


def _sampler(
    model: MaskGITGenerator,
    decode_ids: DecodeIds,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
) -> Callable[[Tensor], _Samples]:
    device = next(model.parameters()).device

    def sample(places: Tensor) -> _Samples:
        # A generator for each batch: no draw depends on what was sampled before, or on which thread.
        noise = generator(config.seed, "generate", int(places[0]), device=device)
        labels = balanced_labels(places, model.num_classes).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            ids = generate_ids(model, labels, config.generation, noise)
        pixels = to_uint8(decode_ids(ids, noise))
        return _Samples(
            places, pixels.cpu(), {extractor.label: extractor(pixels) for extractor in extractors}
        )

    return sample


def _check(
    model: MaskGITGenerator,
    reference_set: ImageSet,
    config: GenerationEvaluationConfig,
    extractors: Sequence[Extractor],
) -> None:
    check_asked(config.extractors, extractors)
    if len(reference_set) < 2:
        raise EvaluationError(
            f"{reference_set.name}: gfid needs two images at least, it has {len(reference_set)}"
        )
    if reference_set.num_classes != model.num_classes:
        raise EvaluationError(
            f"{reference_set.name} has {reference_set.num_classes} classes, the generator "
            f"{model.num_classes}: compare it with images of the classes it was trained on"
        )
