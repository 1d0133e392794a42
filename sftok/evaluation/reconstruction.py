"""The evaluation of reconstructions of an image set, for any tokenizer (Section 4.1).

```
images -> tokenizer.encode -> ids, once
for each T: ids -> decode in T steps -> reconstructions -> uint8 -> features -> rows
```

The reference of rFID is the same images, as transformed by the data set. On one machine, a seed fixes every
number bit for bit, regardless of torch's thread count; a number at one T does not depend on the other T.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.device import to_device
from sftok.evaluation.bootstrap import with_half_widths
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.examples import NUM_EXAMPLES, balanced, of_classes
from sftok.evaluation.extractors.base import Extractor, check_asked
from sftok.evaluation.gallery import Gallery
from sftok.evaluation.passes import (
    Album,
    Parts,
    Reconstructed,
    can_resume,
    flattened,
    in_batches,
    joined,
    unflattened,
    values_of,
)
from sftok.evaluation.per_class import rows_of_classes
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
from sftok.evaluation.reference import OtherReference, reference_features, teacher_codes
from sftok.evaluation.tokenizers import Decoding, Reconstructor, Tokenizer, decodings, device_of
from sftok.evaluation.workers import in_order
from sftok.metrics.base import EvaluationError, Measured, Metric, Need, Reference, build_metrics
from sftok.models.maskgit_vqgan import MaskGITVQGAN


def evaluate(
    tokenizer: Tokenizer | Reconstructor,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    *,
    teacher: MaskGITVQGAN | None = None,
    other_reference: OtherReference | None = None,
    subject: str = "tokenizer",
    include_real: bool = False,
    on_progress: OnProgress = lambda fraction: None,
    parts: Path | None = None,
    resamples: int = 0,
    per_class: bool = False,
) -> Evaluation:
    """Measure the reconstructions of `tokenizer`, at every number of steps if it decodes in steps.

    Args:
        tokenizer: a `Tokenizer`, which is put into evaluation mode, or a `Reconstructor`.
        image_set: the images to reconstruct and to compare with.
        config: steps, decoding, metrics, batch size, precision, seed.
        extractors: `config.extractors`, built.
        cache_dir: where features of the originals and the teacher's codes are cached.
        teacher: the teacher whose codes the tokenizer predicts; it is put into evaluation mode. Without it,
            metrics that compare codes are omitted.
        other_reference: replaces the originals as the reference of metrics that compare features.
        subject: the rows' `subject`.
        include_real: whether to add rows of subject `real`, with the inception scores of the originals.
        on_progress: called with the fraction done.
        parts: a folder for files of finished parts of the images, from which a killed evaluation resumes.
        resamples: number of resamples for confidence intervals (`half_width` of the rows); 0 for none.
        per_class: whether to add a row per class, with the coordinate `class`, for means over images.

    Raises:
        EvaluationError: extractors or metrics do not fit the configuration or the data, or reconstructions
            are not finite.
        PretrainedError: published weights that a metric needs are missing.
    """
    device = device_of(tokenizer)
    bench = _Bench.prepare(image_set, config, extractors, cache_dir, teacher, device, other_reference)
    measured = decodings(tokenizer, config, subject)
    # Costs in decoder passes: pixels and features cost about as much as six passes.
    progress = Progress(on_progress, [8, *(decoding.passes + 6 for decoding in measured)])
    once, metrics = bench.build_metrics(tokenizer, measured)
    kept = Parts(parts if can_resume([*once, *metrics]) else None, config.batch_size, len(image_set))
    ids = None if isinstance(tokenizer, Reconstructor) else bench.encode(tokenizer, kept)
    for metric in once:
        metric.update(Measured(ids=ids))
    rows = rows_of(once, subject, len(image_set))
    progress.next_phase()

    examples = {"original": image_set.images(bench.shown).numpy()}
    gallery = Gallery.of(image_set, ids)
    for decoding in measured:
        for metric in metrics:
            metric.reset()
        album, values = bench.measure(decoding, ids, metrics, kept, progress)
        examples[decoding.name] = torch.stack([album.pixels[place] for place in bench.shown.tolist()]).numpy()
        gallery.add(decoding.name, album, values)
        found = rows_of(metrics, subject, len(image_set), **decoding.coordinates)
        if resamples:
            found = with_half_widths(found, metrics, values, resamples, config.seed, bench.is_paired)
        rows += found
        if per_class:
            rows += rows_of_classes(metrics, values, image_set, subject, decoding.coordinates)
        progress.next_phase()
    rows += bench.rows_of_real() if include_real else []
    protocol = bench.protocol(metrics, other_reference)
    examples |= of_classes(image_set.labels(bench.shown), image_set)
    kept.clear()
    return Evaluation(rows, config.described, protocol, examples, gallery.images, gallery.extremes)


@dataclass(frozen=True)
class _Bench:
    """An image set to reconstruct, with everything that reconstructions are compared with.

    Attributes:
        image_set: the originals.
        config: supplies metrics and batch size.
        extractors: the feature spaces.
        references: the originals in each of them.
        teacher_codes: int64 `[images, N]`, if there is a teacher.
        device: the device of the reconstruction.
        shown: int64 `[n]`, the places of the example images.
        is_paired: whether `references` are the originals.
    """

    image_set: ImageSet
    config: EvaluationConfig
    extractors: Sequence[Extractor]
    references: Sequence[Reference]
    teacher_codes: Tensor | None
    device: torch.device
    shown: Tensor
    is_paired: bool

    @classmethod
    def prepare(
        cls,
        image_set: ImageSet,
        config: EvaluationConfig,
        extractors: Sequence[Extractor],
        cache_dir: Path,
        teacher: MaskGITVQGAN | None,
        device: torch.device,
        other_reference: OtherReference | None,
    ) -> Self:
        """Check the arguments, then read or compute features and codes of the originals.

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
        if other_reference is None:
            references = [reference_features(each, image_set, cache_dir, size) for each in extractors]
        else:
            references = [other_reference.features(each, cache_dir, size) for each in extractors]
        codes = teacher_codes(teacher.eval(), image_set, cache_dir, size) if teacher else None
        shown = balanced(image_set, NUM_EXAMPLES)
        is_paired = other_reference is None
        return cls(image_set, config, extractors, references, codes, device, shown, is_paired)

    @property
    def pixels(self) -> int:
        """Number of pixels in an image."""
        return math.prod(self.image_set.images(self.shown[:1]).shape[-2:])

    def batches(self, places: range) -> Iterator[Batch]:
        """Yield the images at `places`, in order, on the device."""
        for batch in ordered_batches(self.image_set, self.config.batch_size, places=places):
            yield Batch(to_device(batch.images, self.device), batch.labels, batch.indices)

    def encode(self, tokenizer: Tokenizer, parts: Parts) -> Tensor:
        """Return the ids of all images, int64 `[images, K]`, or their latents."""
        tokenizer.eval()
        found = []
        for places in parts.places:
            if (part := parts.read("ids", places)) is None:
                ids = in_order(
                    lambda batch: tokenizer.encode(batch.images), self.batches(places), self.device
                )
                part = {"ids": torch.cat(list(ids))}
                parts.write("ids", places, part)
            found.append(part["ids"].to(self.device))
        return torch.cat(found)

    def build_metrics(
        self, tokenizer: Tokenizer | Reconstructor, measured: Sequence[Decoding]
    ) -> tuple[list[Metric], list[Metric]]:
        """Build the metrics of ids alone, which do not depend on the decoding, and the others."""
        available: set[Need] = {"images", "originals"}
        if self.is_paired:
            available.add("labels")
        codebook_size = None if isinstance(tokenizer, Reconstructor) else tokenizer.codebook_size
        if codebook_size:
            available.add("ids")
        if all(decoding.gives_bits for decoding in measured):
            available.add("bits")
        if self.teacher_codes is not None and all(decoding.gives_codes for decoding in measured):
            available.add("codes")
        configs = self.config.metrics
        of_ids = [config for config in configs if not config.needs - {"ids"}]
        others = [config for config in configs if config.needs - {"ids"}]
        once, each_time = (
            build_metrics(chosen, available, self.references, self.device, codebook_size, self.pixels)
            for chosen in (of_ids, others)
        )
        return once, each_time

    def measure(
        self,
        decoding: Decoding,
        ids: Tensor | None,
        metrics: Sequence[Metric],
        parts: Parts,
        on_progress: OnProgress,
    ) -> tuple[Album, dict[str, Tensor]]:
        """Decode `ids` `[images, K]`, if there are any, and update `metrics` with all batches in order.

        Returns:
            The example, best and worst images, and values of each image `[images]` by name.

        Raises:
            EvaluationError: a reconstruction is not finite.
        """
        always = frozenset(self.shown.tolist())
        album, values = Album(always), []
        for places in parts.places:
            of_part, seen = Album(always), []
            if (stored := parts.read(decoding.name, places)) is not None:
                of_part = Album.from_tensors(stored, always)
                stored = {name: each for name, each in stored.items() if not name.startswith("album.")}
                stream = self._replayed(stored, ids, places)
            else:
                stream = self._computed(decoding, ids, metrics, places, of_part)
            for indices, measured in stream:
                for metric in metrics:
                    metric.update(measured)
                seen.append(flattened(measured))
                values.append(self._values(indices, measured))
                on_progress((int(indices[-1]) + 1) / len(self.image_set))
            if stored is None:
                parts.write(decoding.name, places, joined(seen) | of_part.tensors())
            album.merge(of_part)
        return album, joined(values)

    def _computed(
        self, decoding: Decoding, ids: Tensor | None, metrics: Sequence[Metric], places: range, album: Album
    ) -> Iterator[tuple[Tensor, Measured]]:
        run = partial(self._reconstruct, decoding, ids, metrics)
        for batch in in_order(run, self.batches(places), self.device):
            album.add(batch.indices, batch.pixels, batch.measured.values)
            yield batch.indices, batch.measured

    def _replayed(
        self, stored: dict[str, Tensor], ids: Tensor | None, places: range
    ) -> Iterator[tuple[Tensor, Measured]]:
        chunks = torch.arange(places.start, places.stop).split(self.config.batch_size)
        for indices, tensors in zip(chunks, in_batches(stored, self.config.batch_size), strict=True):
            expected = None if self.teacher_codes is None else self.teacher_codes[indices]
            own = None if ids is None else ids[indices]
            labels = self._labels(indices)
            yield indices, unflattened(tensors, ids=own, teacher_codes=expected, labels=labels)

    def _reconstruct(
        self, decoding: Decoding, ids: Tensor | None, metrics: Sequence[Metric], batch: Batch
    ) -> Reconstructed:
        own = None if ids is None else ids[batch.indices]
        decoded = decoding.decode(batch, own)
        if not decoded.images.isfinite().all():
            raise EvaluationError(
                f"{self.image_set.name}: reconstructions are not finite: train the model again"
            )
        pixels, expected = to_uint8(decoded.images), self.teacher_codes
        measured = Measured(
            images=decoded.images,
            originals=batch.images,
            ids=own,
            codes=decoded.codes,
            teacher_codes=None if expected is None else expected[batch.indices].to(self.device),
            bits=decoded.bits,
            features={extractor.label: extractor(pixels) for extractor in self.extractors},
            labels=self._labels(batch.indices),
        )
        measured = replace(measured, values=values_of(metrics, measured))
        return Reconstructed(batch.indices, pixels, measured)

    def _labels(self, indices: Tensor) -> dict[str, Tensor]:
        """The likeliest classes of the originals, in spaces with logits, if they are the reference."""
        if not self.is_paired:
            return {}
        return {
            reference.extractor: reference.labels[indices]
            for reference in self.references
            if reference.labels is not None
        }

    def _values(self, indices: Tensor, measured: Measured) -> dict[str, Tensor]:
        """Values of each image of a batch: those of metrics, bits, and distances of features."""
        found = dict(measured.values)
        if measured.bits is not None:
            found["bits"] = measured.bits.cpu()
        if self.is_paired:
            for reference in self.references:
                own = measured.features[reference.extractor].features
                found[f"distance@{reference.extractor}"] = (own - reference.features[indices]).norm(dim=1)
        return found

    def protocol(self, metrics: Sequence[Metric], other_reference: OtherReference | None) -> Protocol:
        """Everything that the numbers of `metrics` depend on."""
        return Protocol(
            extractors=networks(self.extractors, metrics),
            data=self.image_set.fingerprint,
            n_images=len(self.image_set),
            metrics=own_settings(self.config.metrics),
            precision=self.config.precision,
            **({} if other_reference is None else {"reference": other_reference.name}),
        )

    def rows_of_real(self) -> list[Row]:
        """Inception scores of the originals, in the spaces that have logits, if they are measured."""
        return [
            row("real", "is", reference.extractor, reference.inception_score, len(self.image_set))
            for reference in self.references
            if reference.inception_score is not None and "is" in self.config.described
        ]
