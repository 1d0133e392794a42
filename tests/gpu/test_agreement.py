"""The device computes what the CPU computes: ids, logits, losses, gradients, images, features and FID."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import small_models
import torch
from parallel_worker import STAGES, images
from small_models import perturbed, seeded

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.schedule import DecodingConfig
from sftok.device import CPU
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.extractors.base import EvaluationError, ExtractorConfig
from sftok.evaluation.extractors.classifier import ClassifierExtractorConfig
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.evaluation.reconstruction import evaluate
from sftok.evaluation.reference import reference_features
from sftok.generators.maskgit import MaskGITGenerator
from sftok.io.weights import save_tensors
from sftok.metrics.fid import frechet_distance
from sftok.models.classifier import CONFIG_KEY, Classifier, ClassifierConfig
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok
from sftok.training.stages.base import Step

pytestmark = pytest.mark.gpu

GREEDY = DecodingConfig(steps=8, temperature=0.0)


def batch() -> Batch:
    shown, indices = images(), torch.arange(8)
    return Batch(shown.images(indices) / 255, shown.labels(indices), indices)


def tokenizers(device: torch.device) -> tuple[SFTok, SFTok]:
    """One model twice: on the CPU and on the device."""
    tokenizer = perturbed(SFTok.from_config(small_models.sftok_config(depth=2)), 0.1).eval()
    return tokenizer, copy.deepcopy(tokenizer).to(device)


@pytest.mark.stand_in
def test_ids_logits_and_images(device: torch.device) -> None:
    on_cpu, on_device = tokenizers(device)
    pixels = batch().images
    ids = on_cpu.encode(pixels)
    assert torch.equal(on_device.encode(pixels.to(device)).cpu(), ids)
    masked = torch.full((len(ids), on_cpu.decoder.num_codes), on_cpu.decoder.mask_id)
    with torch.no_grad():
        logits = on_cpu.decoder(masked, on_cpu.quantizer.lookup(ids))
        found = on_device.decoder(masked.to(device), on_device.quantizer.lookup(ids.to(device)))
    torch.testing.assert_close(found.cpu(), logits, rtol=1e-4, atol=1e-4)
    codes = on_cpu.decode_codes(ids, GREEDY, seeded()).ids
    drawn = on_device.decode_codes(ids.to(device), GREEDY, torch.Generator(device)).ids
    assert torch.equal(drawn.cpu(), codes)
    decoded = on_device.decode(ids.to(device), GREEDY)
    torch.testing.assert_close(decoded.cpu(), on_cpu.decode(ids, GREEDY), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_losses_and_gradients(device: torch.device, stage: str) -> None:
    found = []
    for place in (CPU, device):
        built = STAGES[stage]().to(place)
        step = Step(5, batch().to(place), seeded(3))
        values, gradients = {}, {}
        for optimizer, parameters in built.optimizers().items():
            named = dict(parameters)
            losses = built.losses(optimizer, step)
            values |= {f"{optimizer} {name}": value.item() for name, value in losses.items()}
            gradient = torch.autograd.grad(losses["loss"], list(named.values()), allow_unused=True)
            gradients |= {
                name: each.cpu() for name, each in zip(named, gradient, strict=True) if each is not None
            }
        found.append((values, gradients))
    (expected, slopes), (measured, measured_slopes) = found
    assert measured == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert measured_slopes.keys() == slopes.keys()
    for name, slope in slopes.items():
        torch.testing.assert_close(measured_slopes[name], slope, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.stand_in
def test_generated_ids(device: torch.device) -> None:
    model = perturbed(MaskGITGenerator.from_config(small_models.generator_record(16, 24, 4)), 0.1)
    labels, config = torch.arange(4), GenerationConfig(steps=8, temperature=0.0, guidance_scale=2.0)
    expected = model.sample(labels, config, seeded())
    found = copy.deepcopy(model).to(device).sample(labels.to(device), config, torch.Generator(device))
    assert torch.equal(found.cpu(), expected)


def classifier_file(folder: Path) -> Path:
    config = ClassifierConfig(image_size=16, num_classes=2, channels=(4, 8))
    path = folder / "classifier.safetensors"
    save_tensors(path, Classifier(config).state_dict(), {CONFIG_KEY: config.model_dump_json()})
    return path


EXTRACTORS = (EfficientNetLite0Config(), ClassifierExtractorConfig(), InceptionV3Config())


@pytest.mark.parametrize("config", EXTRACTORS, ids=lambda config: config.label)
def test_features_and_fid(tmp_path: Path, device: torch.device, config: ExtractorConfig) -> None:
    weights = classifier_file(tmp_path) if config.in_domain else None
    try:
        extractors = [config.build(place, weights) for place in (CPU, device)]
    except EvaluationError as missing:
        pytest.skip(str(missing))
    real, made = small_models.image_set(40, 16), small_models.image_set(40, 16, seed=1)
    everything, values = torch.arange(40), []
    features = [extractor(made.images(everything)).features for extractor in extractors]
    torch.testing.assert_close(features[1], features[0], rtol=1e-3, atol=1e-3)
    for extractor, of_made in zip(extractors, features, strict=True):
        cache = tmp_path / str(len(values))
        values.append(frechet_distance(of_made, reference_features(extractor, real, cache, 16)))
    assert values[1] == pytest.approx(values[0], rel=1e-3)


def measured(count: int, folder: Path, device: torch.device) -> int:
    """The peak of the memory that an evaluation of `count` images takes on the device beyond its start.

    The CPU's allocator keeps no such record: there, the images that are alive after a batch are counted.
    """
    shown: MemoryImageSet = small_models.image_set(count, 16)
    config = EvaluationConfig(steps=(2,), extractors=("efficientnet-lite0",), batch_size=20)
    tokenizer = tokenizers(device)[1]
    extractors, peaks = [each.build(device) for each in config.extractors], [0]

    def on_progress(_: float) -> None:
        if device.type == "cpu":
            peaks.append(small_models.live_images(16))

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    teacher = MaskGITVQGAN.from_config(small_models.TEACHER).to(device)
    evaluate(tokenizer, shown, config, extractors, folder, teacher=teacher, on_progress=on_progress)
    return max(peaks) if device.type == "cpu" else torch.cuda.max_memory_allocated(device) - start


def test_the_memory_of_an_evaluation_does_not_grow_with_its_images(
    tmp_path: Path, device: torch.device
) -> None:
    measured(60, tmp_path / "warm", device)
    few, many = (measured(count, tmp_path / str(count), device) for count in (200, 800))
    assert few > 0
    # How many batches are alive at once on a CPU depends on its threads; a leak would be 30 batches more.
    assert many <= (1.2 if device.type == "cuda" else 3) * few
