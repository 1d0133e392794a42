"""The evaluation of reconstructions of an image set, for any tokenizer (Section 4.1).

```
images -> tokenizer.encode -> ids, once
for each T: ids -> decode in T steps -> reconstructions -> uint8 -> features -> rows
```

The reference of rFID is the same images, as the data set transforms them. A seed fixes every number bit for
bit on one machine, whatever torch's number of threads; a number at one T does not depend on the other T.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.examples import NUM_EXAMPLES, balanced, of_classes
from sftok.evaluation.extractors.base import Extractor, check_asked
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import (
    Evaluation,
    OnProgress,
    Progress,
    Protocol,
    Row,
    networks,
    own_settings,
    row,
    rows_of,
)
from sftok.evaluation.reference import reference_features, teacher_codes
from sftok.evaluation.tokenizers import Decoding, Tokenizer, decodings
from sftok.evaluation.workers import in_order
from sftok.metrics.base import EvaluationError, Measured, Metric, MetricConfig, Need, Reference, build_metrics
from sftok.teacher.vqgan import MaskGITVQGAN


def evaluate(
    tokenizer: Tokenizer,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    *,
    teacher: MaskGITVQGAN | None = None,
    subject: str = "tokenizer",
    include_real: bool = False,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Measure the reconstructions of `tokenizer`, at every number of steps if it decodes in steps.

    Args:
        tokenizer: see `Tokenizer`; put into evaluation mode.
        image_set: what to reconstruct, and what to compare with.
        config: steps, decoding, metrics, batch size, precision, seed.
        extractors: `config.extractors`, built.
        cache_dir: where features of the originals and the teacher's codes are kept between calls.
        teacher: the one whose codes the tokenizer predicts, put into evaluation mode; without it metrics that
            compare codes are left out.
        subject: the rows' `subject`.
        include_real: whether there are rows of subject `real` too, the inception scores of the originals.
        on_progress: called with the fraction done.

    Raises:
        EvaluationError: extractors or metrics that do not fit the configuration or the data, or
            reconstructions that are not finite.
        PretrainedError: published weights that a metric needs are missing.
    """
    check_asked(config.extractors, extractors)
    if len(image_set) < 2:
        raise EvaluationError(f"{image_set.name}: rfid needs at least two images, it has {len(image_set)}")
    for metric in config.metrics:
        metric.check_weights()
    device = next(tokenizer.parameters()).device
    tokenizer.eval()
    bench = _Bench(image_set, config.batch_size, extractors, device, balanced(image_set, NUM_EXAMPLES))
    ways = decodings(tokenizer, config, subject)
    # In decoder passes: a way of decoding costs its own and about as much as six for pixels and features.
    progress = Progress(on_progress, [8, *(way.passes + 6 for way in ways)])

    spaces = [reference_features(each, image_set, cache_dir, config.batch_size) for each in extractors]
    codes = teacher_codes(teacher.eval(), image_set, cache_dir, config.batch_size) if teacher else None
    batches = bench.batches()
    ids = torch.cat(list(in_order(lambda batch: tokenizer.encode(batch.images), batches, device)))
    once, metrics = _build(config.metrics, spaces, bench, tokenizer.codebook_size, _has_codes(codes, ways))
    for each in once:
        each.update(Measured(ids=ids))
    rows = rows_of(once, subject, len(image_set))
    progress.next_phase()

    examples = {"original": image_set.images(bench.shown).numpy()}
    for way in ways:
        for each in metrics:
            each.reset()
        examples[way.name] = bench.measure(way, ids, codes, metrics, progress).numpy()
        rows += rows_of(metrics, subject, len(image_set), **way.coordinates)
        progress.next_phase()
    rows += _rows_of_real(spaces, config, image_set) if include_real else []
    protocol = Protocol(
        extractors=networks(extractors, metrics),
        data=image_set.fingerprint,
        n_images=len(image_set),
        metrics=own_settings(config.metrics),
        precision=config.precision,
    )
    examples |= of_classes(image_set.labels(bench.shown), image_set)
    return Evaluation(rows, config.described, protocol, examples)


@dataclass(frozen=True)
class _Bench:
    """An image set to reconstruct.

    Attributes:
        image_set: the originals.
        batch_size: images reconstructed together.
        extractors: the feature spaces.
        device: where images are reconstructed.
        shown: int64 `[n]`, the places of the example images.
    """

    image_set: ImageSet
    batch_size: int
    extractors: Sequence[Extractor]
    device: torch.device
    shown: Tensor

    def batches(self) -> Iterator[Batch]:
        """All images in order, on the device."""
        for batch in ordered_batches(self.image_set, self.batch_size):
            yield Batch(batch.images.to(self.device), batch.labels, batch.indices)

    def measure(
        self,
        way: Decoding,
        ids: Tensor,
        teacher_codes: Tensor | None,
        metrics: Sequence[Metric],
        on_progress: OnProgress,
    ) -> Tensor:
        """Decode `ids` `[images, K]`, show all batches in order to `metrics`, and return the example images.

        Raises:
            EvaluationError: a reconstruction is not finite.
        """

        def run(batch: Batch) -> tuple[Batch, Tensor, Measured]:
            own = ids[batch.indices]
            images, codes = way.decode(own, int(batch.indices[0]))
            if not images.isfinite().all():
                raise EvaluationError(
                    f"{self.image_set.name}: reconstructions are not finite: train the model again"
                )
            pixels = to_uint8(images)
            measured = Measured(
                images=images,
                originals=batch.images,
                ids=own,
                codes=codes,
                teacher_codes=None if teacher_codes is None else teacher_codes[batch.indices].to(self.device),
                features={extractor.label: extractor(pixels) for extractor in self.extractors},
            )
            return batch, pixels, measured

        strip = self.image_set.images(self.shown)
        for batch, pixels, measured in in_order(run, self.batches(), self.device):
            for metric in metrics:
                metric.update(measured)
            places, rows = (self.shown[:, None] == batch.indices[None]).nonzero(as_tuple=True)
            strip[places] = pixels.cpu()[rows]
            on_progress((int(batch.indices[-1]) + 1) / len(self.image_set))
        return strip


def _has_codes(codes: Tensor | None, ways: Sequence[Decoding]) -> bool:
    return codes is not None and all(way.gives_codes for way in ways)


def _build(
    configs: Sequence[MetricConfig],
    references: Sequence[Reference],
    bench: _Bench,
    codebook_size: int,
    has_codes: bool,
) -> tuple[list[Metric], list[Metric]]:
    """The metrics of ids alone, which no decoding changes, and the others."""
    ids_alone: frozenset[Need] = frozenset({"ids"})
    available: set[Need] = {"ids", "images", "originals"}
    if has_codes:
        available.add("codes")
    once, others = (
        build_metrics(
            [config for config in configs if (config.needs <= ids_alone) == alone],
            available,
            references,
            bench.device,
            codebook_size,
        )
        for alone in (True, False)
    )
    return once, others


def _rows_of_real(
    references: Sequence[Reference], config: EvaluationConfig, image_set: ImageSet
) -> list[Row]:
    return [
        row("real", "is", reference.extractor, reference.inception_score, len(image_set))
        for reference in references
        if reference.inception_score is not None and "is" in config.described
    ]
