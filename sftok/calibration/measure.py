"""Calibration: distort reconstructions of real images and measure FID of each set in every feature space.

```
images -> teacher's codes -> distorted codes or pixels -> uint8 -> features -> FID against the same images
```

On one machine, a seed fixes every number bit for bit, regardless of torch's thread count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from sftok.calibration.distortions import DISTORTIONS, MIXED, WRONG, Distort, Source, blurred, matching_blur
from sftok.calibration.frechet import Normal
from sftok.calibration.report import CalibrationConfig, SpaceReport
from sftok.calibration.statistics import UNDISTORTED, Place, mixture, report
from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.examples import NUM_EXAMPLES, balanced, of_classes
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import Fingerprinted, OnProgress, Row, row
from sftok.evaluation.workers import in_order
from sftok.metrics.base import EvaluationError, Features
from sftok.metrics.fid import RFIDConfig
from sftok.metrics.label_agreement import LabelAgreementConfig
from sftok.metrics.linear_algebra import reproducible
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.randomness import generator

METRICS = (RFIDConfig(), LabelAgreementConfig())

PARTS = (10, 5, 2, 1)
"""A draw is also measured in this many equal parts, to see how many images are needed."""

Key = tuple[str, int]
"""A network: the label of its space, and its index among the seeds."""


class CalibrationProtocol(Fingerprinted):
    """Everything that the numbers of a calibration depend on."""

    extractors: dict[str, list[str]]
    """SHA-256 of the weights by label: first the measuring network, then those of further seeds."""
    calibration: dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """The results of a calibration.

    Attributes:
        rows: `rfid` and `label_agreement` of every draw, at `distortion`, `strength` and `draw`.
        reports: one for each feature space.
        protocol: everything that they depend on.
        examples: uint8 images `[n, 3, H, W]`: `original`, `teacher`, and the strongest of each distortion.
    """

    rows: list[Row]
    reports: list[SpaceReport]
    protocol: CalibrationProtocol
    examples: dict[str, np.ndarray]


@reproducible
@torch.inference_mode()
def calibrate(
    teacher: MaskGITVQGAN,
    image_set: ImageSet,
    spaces: Mapping[str, Sequence[Extractor]],
    config: CalibrationConfig,
    on_progress: OnProgress = lambda fraction: None,
) -> Calibration:
    """Distort the teacher's reconstructions of `image_set` and measure them in every space.

    Args:
        teacher: the teacher; it is put into evaluation mode.
        image_set: the image set; at most `config.images` of its images are used.
        spaces: the networks of each space, by label: first the measuring one, then those of further seeds.
        config: how many images, draws and seeds.
        on_progress: called with the fraction done.

    Raises:
        EvaluationError: too few images or classes, or the teacher's reconstructions are flat.
    """
    bench = _Bench.prepare(teacher.eval(), image_set, spaces, config)
    sets = bench.sets()
    distances: dict[Key, dict[Place, dict[int, np.ndarray]]] = {key: {} for key in bench.networks}
    rows: list[Row] = []
    examples = {"original": bench.pixels[:NUM_EXAMPLES].numpy()}
    for number, (place, distort) in enumerate(sets.items(), 1):
        pixels, features = bench.show(place, distort)
        examples["teacher" if place == UNDISTORTED else place[0]] = pixels[:NUM_EXAMPLES].numpy()
        for key, seen in features.items():
            distances[key][place] = bench.distances(key, seen.features)
            if key[1] == 0:
                rows += bench.rows(key, place, distances[key][place], seen)
        on_progress(number / len(sets))
    reports = [
        report(space, [distances[space, seed] for seed in range(len(networks))], bench.draw)
        for space, networks in spaces.items()
    ]
    protocol = CalibrationProtocol(
        data=image_set.fingerprint,
        n_images=len(bench.pixels),
        extractors={space: [each.weights for each in networks] for space, networks in spaces.items()},
        calibration=config.model_dump(mode="json"),
    )
    return Calibration(rows, reports, protocol, examples | of_classes(bench.labels[:NUM_EXAMPLES], image_set))


@dataclass(frozen=True)
class _Bench:
    """The images, their codes, and the originals that they are compared with.

    Attributes:
        pixels: uint8 `[N, 3, H, W]`, the originals; N is a multiple of `draw`.
        labels: int64 `[N]`.
        reconstructions: uint8 `[N, 3, H, W]`, by the teacher.
        codes: int64 `[N, K]`, by the teacher.
        partners: int64 `[2, N]`, indices of another image of the same class and of one of another class.
        draw: the number of images in a draw.
        networks: every network of every space.
        originals: by network and number of images, a normal distribution for each part of the originals.
        labels_in: the likeliest class of each original, in the networks that classify.
    """

    teacher: MaskGITVQGAN
    config: CalibrationConfig
    pixels: Tensor
    labels: Tensor
    reconstructions: Tensor
    codes: Tensor
    partners: Tensor
    draw: int
    networks: Mapping[Key, Extractor]
    originals: dict[Key, dict[int, list[Normal]]]
    labels_in: dict[Key, Tensor]

    @classmethod
    def prepare(
        cls,
        teacher: MaskGITVQGAN,
        image_set: ImageSet,
        spaces: Mapping[str, Sequence[Extractor]],
        config: CalibrationConfig,
    ) -> Self:
        """Choose and encode the images, and fit the distributions that they are compared with.

        Raises:
            EvaluationError: too few images or classes.
        """
        places = balanced(image_set, config.images)
        draw = len(places) // config.draws
        if draw < 2:
            raise EvaluationError(f"{image_set.name}: {config.draws} draws need at least two images each")
        places = places[: draw * config.draws]
        pixels, labels = image_set.images(places), image_set.labels(places)
        device = next(teacher.parameters()).device

        def encode(part: Tensor) -> tuple[Tensor, Tensor]:
            codes = teacher.encode(to_unit_range(part.to(device)))
            return codes.cpu(), to_uint8(teacher.decode(codes)).cpu()

        parts = list(in_order(encode, pixels.split(config.batch_size), device))
        codes, reconstructions = (torch.cat(each) for each in zip(*parts, strict=True))
        networks = {(space, seed): each for space, them in spaces.items() for seed, each in enumerate(them)}
        partners = _partners(labels, generator(config.seed, "partners"), image_set)
        bench = cls(teacher, config, pixels, labels, reconstructions, codes, partners, draw, networks, {}, {})
        for key, seen in bench._features(pixels.split(config.batch_size)).items():
            bench.originals[key] = {size: _fitted(seen.features, size) for size in bench.sizes}
            if seen.logits is not None:
                bench.labels_in[key] = seen.logits.argmax(1)
        return bench

    @property
    def sizes(self) -> list[int]:
        """The numbers of images in the parts that are measured separately, smallest first."""
        return sorted({self.draw // parts for parts in PARTS if self.draw // parts >= 2})

    def sets(self) -> dict[Place, Distort]:
        """Return every set and the function that makes it."""
        found: dict[Place, Distort] = {UNDISTORTED: lambda source, strength, draws: source.images}
        for name, distortion in DISTORTIONS.items():
            found |= {(name, strength): distortion.apply for strength in distortion.strengths}
        for kind in WRONG:
            found |= dict.fromkeys(((mixture(kind), share) for share in MIXED), self._mixed(kind))
        return found

    def show(self, place: Place, distort: Distort) -> tuple[Tensor, dict[Key, Features]]:
        """Return the images of a set as uint8, and the features of every network."""
        name, strength = place
        device = next(self.teacher.parameters()).device

        def make(batch: tuple[int, Tensor]) -> Tensor:
            number, where = batch
            # Every strength has the same draws, so a code that is wrong at one is wrong at all higher ones.
            draws = generator(self.config.seed, "calibration", name, number)
            return to_uint8(distort(self._source(where), strength, draws)).cpu()

        pixels = torch.cat(list(in_order(make, enumerate(self._batches()), device)))
        return pixels, self._features(pixels.split(self.config.batch_size))

    def distances(self, key: Key, features: Tensor) -> dict[int, np.ndarray]:
        """Return FID of every part of the images against its originals, by the number of images."""
        return {
            size: np.array([a.distance(b) for a, b in zip(_fitted(features, size), normals, strict=True)])
            for size, normals in self.originals[key].items()
        }

    def rows(self, key: Key, place: Place, distances: Mapping[int, np.ndarray], seen: Features) -> list[Row]:
        """Return the numbers of each draw of a set in one network."""
        found = {"rfid": distances[self.draw]}
        if seen.logits is not None:
            agrees = seen.logits.argmax(1) == self.labels_in[key]
            found["label_agreement"] = agrees.float().view(-1, self.draw).mean(1).numpy()
        at = {"distortion": place[0], "strength": place[1]}
        return [
            row("calibration", metric, key[0], float(value), self.draw, **at, draw=draw)
            for metric, values in found.items()
            for draw, value in enumerate(values)
        ]

    def _mixed(self, kind: str) -> Distort:
        """Blur images, and replace a share of them by sharp, wrong ones with the same squared error."""
        wrong_codes = DISTORTIONS[kind].apply
        source = self._source(torch.arange(min(len(self.pixels), 2 * self.config.batch_size)))
        share, deviation = 2 * WRONG[kind], None
        while deviation is None:
            share /= 2
            if round(share * source.codes.shape[1]) == 0:
                raise EvaluationError(
                    "calibration: no blur changes the teacher's reconstructions as much as one wrong code; "
                    "train the teacher longer"
                )
            wrong = wrong_codes(source, share, generator(self.config.seed, "matching", kind))
            error = float((wrong.clamp(0, 1) - source.images).square().mean())
            deviation = matching_blur(source.images, error)
        found = deviation

        def apply(source: Source, strength: float, draws: torch.Generator) -> Tensor:
            wrong = wrong_codes(source, share, draws)
            ranks = torch.rand(len(wrong), generator=draws).argsort().argsort()
            chosen = (ranks < round(strength * len(wrong)))[:, None, None, None]
            return torch.where(chosen.to(wrong.device), wrong, blurred(source.images, found))

        return apply

    def _batches(self) -> Iterator[Tensor]:
        return iter(torch.arange(len(self.pixels)).split(self.config.batch_size))

    def _source(self, where: Tensor) -> Source:
        device = next(self.teacher.parameters()).device
        same, other = (self.codes[partners[where]].to(device) for partners in self.partners)
        images = to_unit_range(self.reconstructions[where].to(device))
        return Source(self.teacher, images, self.codes[where].to(device), same, other)

    def _features(self, parts: Sequence[Tensor]) -> dict[Key, Features]:
        found = {}
        for key, network in self.networks.items():
            seen = list(in_order(network, parts, network.device))
            logits = [each.logits for each in seen if each.logits is not None]
            features = torch.cat([each.features for each in seen])
            found[key] = Features(features, torch.cat(logits) if logits else None)
        return found


def _fitted(features: Tensor, size: int) -> list[Normal]:
    """Fit a normal distribution to each full part of `size` images."""
    return [Normal.of(part) for part in features.split(size) if len(part) == size]


def _partners(labels: Tensor, draws: torch.Generator, image_set: ImageSet) -> Tensor:
    same = labels[:, None] == labels[None]
    other = ~same
    same.fill_diagonal_(False)
    if not (same.any(1).all() and other.any(1).all()):
        raise EvaluationError(
            f"{image_set.name}: among {len(labels)} images, every class needs two and there must be two "
            "classes; use more images or fewer classes"
        )
    return torch.stack([torch.multinomial(each.float(), 1, generator=draws)[:, 0] for each in (same, other)])
