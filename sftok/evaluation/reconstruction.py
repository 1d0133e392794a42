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
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.device import to_device
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
from sftok.metrics.base import EvaluationError, Measured, Metric, Need, Reference, build_metrics
from sftok.models.maskgit_vqgan import MaskGITVQGAN


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
    device = next(tokenizer.parameters()).device
    bench = _Bench.prepare(image_set, config, extractors, cache_dir, teacher, device)
    measured = decodings(tokenizer, config, subject)
    # In decoder passes: a decoding costs its own and about as much as six for pixels and features.
    progress = Progress(on_progress, [8, *(decoding.passes + 6 for decoding in measured)])
    ids = bench.encode(tokenizer)
    once, metrics = bench.build_metrics(
        tokenizer.codebook_size, gives_codes=all(decoding.gives_codes for decoding in measured)
    )
    for metric in once:
        metric.update(Measured(ids=ids))
    rows = rows_of(once, subject, len(image_set))
    progress.next_phase()

    examples = {"original": image_set.images(bench.shown).numpy()}
    for decoding in measured:
        for metric in metrics:
            metric.reset()
        examples[decoding.name] = bench.measure(decoding, ids, metrics, progress).numpy()
        rows += rows_of(metrics, subject, len(image_set), **decoding.coordinates)
        progress.next_phase()
    rows += bench.rows_of_real() if include_real else []
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
    """An image set to reconstruct, with everything that reconstructions are compared with.

    Attributes:
        image_set: the originals.
        config: metrics and batch size are read.
        extractors: the feature spaces.
        references: the originals in each of them.
        teacher_codes: int64 `[images, N]`, if there is a teacher.
        device: where images are reconstructed.
        shown: int64 `[n]`, the places of the example images.
    """

    image_set: ImageSet
    config: EvaluationConfig
    extractors: Sequence[Extractor]
    references: Sequence[Reference]
    teacher_codes: Tensor | None
    device: torch.device
    shown: Tensor

    @classmethod
    def prepare(
        cls,
        image_set: ImageSet,
        config: EvaluationConfig,
        extractors: Sequence[Extractor],
        cache_dir: Path,
        teacher: MaskGITVQGAN | None,
        device: torch.device,
    ) -> Self:
        """Check that everything fits, then read or compute features and codes of the originals.

        Raises:
            EvaluationError, PretrainedError: see `evaluate`.
        """
        check_asked(config.extractors, extractors)
        if len(image_set) < 2:
            raise EvaluationError(
                f"{image_set.name}: rfid needs at least two images, it has {len(image_set)}"
            )
        for metric in config.metrics:
            metric.check_weights()
        size = config.batch_size
        references = [reference_features(extractor, image_set, cache_dir, size) for extractor in extractors]
        codes = teacher_codes(teacher.eval(), image_set, cache_dir, size) if teacher else None
        shown = balanced(image_set, NUM_EXAMPLES)
        return cls(image_set, config, extractors, references, codes, device, shown)

    def batches(self) -> Iterator[Batch]:
        """All images in order, on the device."""
        for batch in ordered_batches(self.image_set, self.config.batch_size):
            yield Batch(to_device(batch.images, self.device), batch.labels, batch.indices)

    def encode(self, tokenizer: Tokenizer) -> Tensor:
        """The ids of all images, int64 `[images, K]`, or latents in their place."""
        tokenizer.eval()
        parts = in_order(lambda batch: tokenizer.encode(batch.images), self.batches(), self.device)
        return torch.cat(list(parts))

    def build_metrics(self, codebook_size: int, gives_codes: bool) -> tuple[list[Metric], list[Metric]]:
        """The metrics of ids alone, which no decoding changes, and the others."""
        available: set[Need] = {"images", "originals"}
        if codebook_size:
            available.add("ids")
        if gives_codes and self.teacher_codes is not None:
            available.add("codes")
        configs = self.config.metrics
        of_ids = [config for config in configs if not config.needs - {"ids"}]
        others = [config for config in configs if config.needs - {"ids"}]
        once, each_time = (
            build_metrics(chosen, available, self.references, self.device, codebook_size)
            for chosen in (of_ids, others)
        )
        return once, each_time

    def measure(
        self, decoding: Decoding, ids: Tensor, metrics: Sequence[Metric], on_progress: OnProgress
    ) -> Tensor:
        """Decode `ids` `[images, K]`, show all batches in order to `metrics`, and return the example images.

        Raises:
            EvaluationError: a reconstruction is not finite.
        """
        strip = self.image_set.images(self.shown)
        run = partial(self._reconstruct, decoding, ids)
        for batch, pixels, measured in in_order(run, self.batches(), self.device):
            for metric in metrics:
                metric.update(measured)
            places, rows = (self.shown[:, None] == batch.indices[None]).nonzero(as_tuple=True)
            strip[places] = pixels.cpu()[rows]
            on_progress((int(batch.indices[-1]) + 1) / len(self.image_set))
        return strip

    def _reconstruct(self, decoding: Decoding, ids: Tensor, batch: Batch) -> tuple[Batch, Tensor, Measured]:
        own = ids[batch.indices]
        images, codes = decoding.decode(own, int(batch.indices[0]))
        if not images.isfinite().all():
            raise EvaluationError(
                f"{self.image_set.name}: reconstructions are not finite: train the model again"
            )
        pixels, expected = to_uint8(images), self.teacher_codes
        measured = Measured(
            images=images,
            originals=batch.images,
            ids=own,
            codes=codes,
            teacher_codes=None if expected is None else expected[batch.indices].to(self.device),
            features={extractor.label: extractor(pixels) for extractor in self.extractors},
        )
        return batch, pixels, measured

    def rows_of_real(self) -> list[Row]:
        """The inception scores of the originals, in the spaces that have them, if they are measured."""
        return [
            row("real", "is", reference.extractor, reference.inception_score, len(self.image_set))
            for reference in self.references
            if reference.inception_score is not None and "is" in self.config.described
        ]
