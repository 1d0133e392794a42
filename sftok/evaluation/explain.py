"""Why is my rFID different? Measures the same reconstructions under common protocols.

Each variation changes one thing: the reference, the rounding, the file format, a resize, the batch, or the
number of images. All numbers are in one feature space and for one decoding.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sftok.config import Config
from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.data.encoded import EncodedImageSet
from sftok.data.transforms import THREADS, decode
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import Evaluation, OnProgress, Progress, Protocol, Row, row
from sftok.evaluation.reference import reference_features
from sftok.evaluation.tokenizers import Reconstructor, Tokenizer, decodings, device_of
from sftok.evaluation.workers import in_order
from sftok.metrics.base import Reference, describe
from sftok.metrics.fid import RFIDConfig, frechet_distance
from sftok.metrics.linear_algebra import moments

MOST_OTHERS = 50_000
"""Maximum number of images read from another reference set."""

NATIVE = {"inception-v3-compat": 299}
"""The side to which a network resizes images, by label; EfficientNet's label contains it."""

Pixels = Callable[[Tensor], Tensor]
"""Maps uint8 images `[B, 3, H, W]` to uint8 images."""


class Variation(Config):
    """One change of the protocol."""

    name: str
    changed: str
    """The difference, as a phrase."""
    who: str
    """Sources that publish or report numbers measured that way."""


PROTOCOL = Variation(name="protocol", changed="nothing: the protocol of evaluate", who="docs/protocol.md")

VARIATIONS = (
    PROTOCOL,
    Variation(
        name="squashed",
        changed="reference resized to a square, not cropped",
        who="showlab/D-AR issue 3: uncropped originals, 2.2 instead of 1.5",
    ),
    Variation(
        name="train",
        changed="reference: training images",
        who="MAR (LightningDiT issue 7: 1.22, 0.53 on validation); "
        "ADM's batch (guided-diffusion issue 161: VAR 2.70, not 0.92; RAE issue 11: 1.90, not 0.58)",
    ),
    Variation(
        name="rounded",
        changed="rounded to uint8, not truncated",
        who="torchvision's save_image, which adds 0.5",
    ),
    Variation(
        name="jpeg95",
        changed="reconstructions saved as JPEG 95",
        who="folders saved as .jpg; effect in Parmar et al. 2022",
    ),
    Variation(
        name="bilinear",
        changed="originals of the reference resized bilinearly",
        who="torchvision's Resize by default",
    ),
    Variation(
        name="no-antialias",
        changed="originals of the reference resized without antialiasing",
        who="OpenCV's resize, torch's interpolate by default (Parmar et al. 2022)",
    ),
    Variation(
        name="clean-fid",
        changed="images resized for the network by PIL (bicubic, antialiased), to uint8",
        who="clean-fid (Parmar et al. 2022): VQGAN-LC's 2.62; LlamaGen issue 34: 2.11 for 2.19",
    ),
    Variation(
        name="tensorflow-resize",
        changed="images resized for the network bilinearly, without antialiasing",
        who="TensorFlow's graph of 2015; Inception in torch-fidelity and ADM's evaluator always does",
    ),
    Variation(
        name="batch-1",
        changed="batches of 1 image",
        who="scripts that loop over files: ids or noise may depend on the batch",
    ),
    Variation(name="batch-100", changed="batches of 100 images", who="scripts with other batches, as above"),
    Variation(
        name="half",
        changed="half of the images",
        who="subsets: FID is biased upwards by few images (Chong and Forsyth 2020)",
    ),
    Variation(
        name="tenth", changed="a tenth of the images", who="subsets, as above; DDCM issue 3: 1,000 of 50,000"
    ),
)


def explain(
    measured: Tokenizer | Reconstructor,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractor: Extractor,
    cache_dir: Path,
    *,
    training_set: ImageSet | None = None,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Measure rFID under every applicable variation, with the last decoding of `config`.

    Args:
        measured: the tokenizer or reconstructor, on its device.
        image_set: the originals.
        config: decoding, batch size and seed.
        extractor: the feature space.
        cache_dir: where features of references are cached.
        training_set: training images of the same data; without them, that reference is skipped.
        on_progress: called with the fraction done.

    Returns:
        Rows of `rfid` with the coordinate `variation`. Without files of the originals, as in Fashion-MNIST,
        the variations that resize the originals are omitted.
    """
    progress = Progress(on_progress, [4, 2, 2, 3])
    resize = native_resizes(extractor.label)
    saved: dict[str, Pixels] = {"protocol": lambda pixels: pixels, "jpeg95": jpeg95, **resize}
    rebuilt = _reconstructions(measured, image_set, config, extractor, saved, progress)
    progress.next_phase()
    found = reference_features(extractor, image_set, cache_dir, config.batch_size)
    references = {"protocol": found.features}
    for name, change in resize.items():
        references[name] = _features(extractor, image_set, config.batch_size, change)
    if isinstance(image_set, EncodedImageSet):
        for name in ("squashed", "bilinear", "no-antialias"):
            references[name] = _resized_features(extractor, image_set, config.batch_size, name)
    progress.next_phase()
    pairs = {name: (each, references.get(name, found.features)) for name, each in rebuilt.items()}
    pairs |= {name: (rebuilt["protocol"], each) for name, each in references.items() if name not in rebuilt}
    if training_set is not None:
        others = torch.arange(min(MOST_OTHERS, len(training_set)))
        pairs["train"] = (
            rebuilt["protocol"],
            _features(extractor, training_set, config.batch_size, None, others),
        )
    for name, share in (("half", 2), ("tenth", 10)):
        if (kept := len(image_set) // share) > 1:
            pairs[name] = (rebuilt["protocol"][:kept], found.features[:kept])
    progress.next_phase()
    for size in (1, 100):
        again = _reconstructions(
            measured, image_set, config.model_copy(update={"batch_size": size}), extractor, {}, progress
        )
        pairs[f"batch-{size}"] = (again["protocol"], found.features)
    rows = [_row(each.name, pairs[each.name], extractor.label) for each in VARIATIONS if each.name in pairs]
    protocol = Protocol(
        extractors={extractor.label: extractor.weights},
        data=image_set.fingerprint,
        n_images=len(image_set),
        precision=config.precision,
    )
    return Evaluation(rows, describe([RFIDConfig()]), protocol, {})


def _row(name: str, pair: tuple[Tensor, Tensor], label: str) -> Row:
    rebuilt, reference = pair
    mean, covariance = moments(reference)
    value = frechet_distance(rebuilt, Reference(label, reference, mean, covariance, None))
    return row("tokenizer", "rfid", label, value, len(rebuilt), variation=name)


def _reconstructions(
    measured: Tokenizer | Reconstructor,
    image_set: ImageSet,
    config: EvaluationConfig,
    extractor: Extractor,
    saved: Mapping[str, Pixels],
    on_progress: OnProgress,
) -> dict[str, Tensor]:
    """Features of the reconstructions: unchanged (`protocol`), rounded, and changed as `saved` specifies."""
    device = device_of(measured)
    decoding = decodings(measured, config, "tokenizer")[-1]

    def run(batch: Batch) -> tuple[int, dict[str, Tensor]]:
        ids = None if isinstance(measured, Reconstructor) else measured.encode(batch.images)
        images = decoding.decode(batch, ids).images
        pixels = to_uint8(images)
        changed = {name: change(pixels) for name, change in saved.items()}
        if saved:
            changed["rounded"] = (images.clamp(0, 1) * 255).round().byte()
        else:
            changed["protocol"] = pixels
        return int(batch.indices[-1]), {name: extractor(each).features for name, each in changed.items()}

    parts = []
    batches = (batch.to(device) for batch in ordered_batches(image_set, config.batch_size))
    for last, part in in_order(run, batches, device):
        parts.append(part)
        on_progress((last + 1) / len(image_set))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _features(
    extractor: Extractor,
    image_set: ImageSet,
    batch_size: int,
    change: Pixels | None,
    places: Tensor | None = None,
) -> Tensor:
    def run(part: Tensor) -> Tensor:
        pixels = image_set.images(part)
        return extractor(pixels if change is None else change(pixels)).features

    places = torch.arange(len(image_set)) if places is None else places
    return torch.cat(list(in_order(run, places.split(batch_size), extractor.device)))


def _resized_features(extractor: Extractor, image_set: EncodedImageSet, batch_size: int, how: str) -> Tensor:
    def run(part: Tensor) -> Tensor:
        return extractor(resized(image_set, part.tolist(), how)).features

    places = torch.arange(len(image_set)).split(batch_size)
    return torch.cat(list(in_order(run, places, extractor.device)))


def resized(image_set: EncodedImageSet, places: Sequence[int], how: str) -> Tensor:
    """Read the files at `places`, uint8 `[n, 3, H, W]`, resized in another way than by the data set."""
    size = image_set.image_size

    def one(place: int) -> np.ndarray:
        image = decode(image_set.content(place))
        if how == "squashed":
            return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        short = min(image.size)
        width, height = (int(size * side / short) for side in image.size)  # as `transforms` does
        if how == "bilinear":
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        else:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
            small = nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=False)
            image = Image.fromarray(small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
        left, top = round((width - size) / 2), round((height - size) / 2)
        return np.asarray(image.crop((left, top, left + size, top + size)))

    with ThreadPoolExecutor(THREADS, "sftok-resize") as pool:
        pixels = np.stack(list(pool.map(one, places)))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def native_resizes(label: str) -> dict[str, Pixels]:
    """Alternative ways to resize images to a network's input side, so that its own resize has no effect.

    Inception already resizes as TensorFlow did.
    """
    if label in NATIVE:
        return {"clean-fid": partial(_by_pil, side=NATIVE[label])}
    side = int(label.partition("@")[2] or 0)
    if not side:
        return {}
    return {
        "clean-fid": partial(_by_pil, side=side),
        "tensorflow-resize": partial(_without_antialiasing, side=side),
    }


def jpeg95(pixels: Tensor) -> Tensor:
    """Encode uint8 images `[B, 3, H, W]` as JPEG of quality 95, and decode them."""
    return _each(pixels, _through_jpeg)


def _through_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return Image.open(file).convert("RGB")


def _by_pil(pixels: Tensor, side: int) -> Tensor:
    return _each(pixels, lambda image: image.resize((side, side), Image.Resampling.BICUBIC))


def _without_antialiasing(pixels: Tensor, side: int) -> Tensor:
    small = nn.functional.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=False)
    return small.round().clamp(0, 255).byte()


def _each(pixels: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    images = (Image.fromarray(image.permute(1, 2, 0).cpu().numpy()) for image in pixels)
    changed = np.stack([np.asarray(change(image)) for image in images])
    return torch.from_numpy(np.ascontiguousarray(changed.transpose(0, 3, 1, 2))).to(pixels.device)
