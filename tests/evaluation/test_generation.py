from __future__ import annotations

import pytest
import small_models
import torch

from sftok.decoding.guidance import GenerationConfig
from sftok.evaluation.config import EvaluationError, GenerationEvaluationConfig
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.evaluation.generation import balanced_labels, evaluate_generation
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import Evaluation, Protocol
from sftok.evaluation.reference import reference_features
from sftok.generation import generate_ids
from sftok.metrics.fid import GFIDConfig, frechet_distance
from sftok.metrics.kid import KIDConfig
from sftok.models.generator import MaskGITGenerator

CONFIG = GenerationEvaluationConfig(
    generation=GenerationConfig(steps=3, temperature=2.0, guidance_scale=1.0),
    num_images=30,
    extractors=("classifier",),
    batch_size=8,
    example_classes=4,
    examples_per_class=2,
)


@pytest.fixture
def run(model, teacher, images, extractor, tmp_path):
    def run(config: GenerationEvaluationConfig = CONFIG, **changes) -> Evaluation:
        return evaluate_generation(
            model, lambda ids, noise: teacher.decode(ids), images, config, [extractor], tmp_path, **changes
        )

    return run


def values(evaluation: Evaluation) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in evaluation.rows}


def test_the_metrics_of_table_2_or_those_that_are_asked_for(run):
    found = run()
    assert values(found).keys() == {"gfid", "is", "precision", "recall"} == found.metrics.keys()
    assert {(row["steps"], row["temperature"], row["extractor"], row["n_images"]) for row in found.rows} == {
        (3, 2.0, "classifier", 30)
    }
    assert {row["subject"] for row in found.rows} == {"generation"}
    other = run(CONFIG.model_copy(update={"metrics": (KIDConfig(), GFIDConfig())}))
    assert values(other).keys() == {"gfid", "kid"}
    assert values(other)["gfid"] == values(found)["gfid"]


def test_numbers_are_those_of_the_generators_own_samples(run, model, teacher, images, extractor, tmp_path):
    still = GenerationConfig(steps=3, temperature=0.0, guidance_scale=1.0)
    found = run(CONFIG.model_copy(update={"generation": still}))
    ids = generate_ids(model, balanced_labels(torch.arange(30), 4), still, torch.Generator())
    pixels = to_uint8(teacher.decode(ids))
    reference = reference_features(extractor, images, tmp_path, 8)
    expected = frechet_distance(extractor(pixels).features, reference)
    assert values(found)["gfid"] == pytest.approx(expected, rel=1e-3)
    for name, part in (("S1", pixels[:4]), ("S2", pixels[4:8])):
        off_by = found.examples[name].astype(int) - part.numpy().astype(int)
        assert abs(off_by).max() <= 1


def test_the_same_seed_gives_the_same_bits_whatever_the_threads(run):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = run()
        torch.set_num_threads(3)
        second = run()
    finally:
        torch.set_num_threads(before)
    assert first.rows == second.rows
    assert (first.examples["S2"] == second.examples["S2"]).all()
    assert values(run(CONFIG.model_copy(update={"seed": 1}))) != values(first)


def test_global_random_state_is_neither_read_nor_changed(run):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = values(run())
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert values(run()) == first


def test_guidance_changes_the_samples(run):
    other = CONFIG.generation.model_copy(update={"guidance_scale": 8.0})
    assert values(run(CONFIG.model_copy(update={"generation": other}))) != values(run())


def test_labels_are_balanced():
    counts = torch.bincount(balanced_labels(torch.arange(30), 4))
    assert counts.tolist() == [8, 8, 7, 7]


def test_examples_are_a_sample_of_each_class_a_line(run):
    found = run().examples
    assert (found["labels"].tolist(), found["class_names"].tolist()) == ([0, 1, 2, 3], ["a", "b", "c", "d"])
    assert found["S1"].shape == found["S2"].shape == (4, 3, 16, 16)
    everything = run(CONFIG.model_copy(update={"examples_per_class": 99})).examples
    strips = [name for name in everything if name.startswith("S")]
    assert strips == [f"S{number}" for number in range(1, 8)], "30 samples of 4 classes: 7 of each"
    assert everything["S7"].dtype == "uint8"


def test_the_protocol_names_the_reference_set_and_is_no_reconstructions(run, images, make_images):
    protocol = run().protocol
    assert (protocol.data, protocol.n_images) == (images.fingerprint, 30)
    assert protocol.record()["n_reference"] == len(images)
    of_reconstructions = Protocol(
        extractors=protocol.extractors, data=protocol.data, n_images=30, precision="fp32"
    )
    assert protocol.fingerprint != of_reconstructions.fingerprint
    fewer = run(CONFIG.model_copy(update={"num_images": 20})).protocol
    assert fewer.fingerprint != protocol.fingerprint


def test_the_protocol_says_how_the_sampling_was_chosen_but_not_what_was(run):
    stronger = CONFIG.generation.model_copy(update={"guidance_scale": 8.0})
    same = run(CONFIG.model_copy(update={"generation": stronger})).protocol
    assert same.fingerprint == run().protocol.fingerprint
    other = run(CONFIG.model_copy(update={"choice": "by eye"})).protocol
    assert other.fingerprint != same.fingerprint


def test_bf16_is_another_protocol(run):
    fast = run(CONFIG.model_copy(update={"precision": "bf16"}))
    assert fast.protocol.fingerprint != run().protocol.fingerprint
    assert values(fast).keys() == {"gfid", "is", "precision", "recall"}


def test_progress_rises_to_one(run):
    seen: list[float] = []
    run(on_progress=seen.append)
    assert seen == sorted(seen)
    assert (len(seen), seen[-1]) == (4, 1)


def test_what_does_not_fit_is_refused_before_any_work(run, model, teacher, make_images, extractor, tmp_path):
    asked = (EfficientNetLite0Config(),)
    with pytest.raises(EvaluationError, match="asks for"):
        run(CONFIG.model_copy(update={"extractors": asked}))
    other = MaskGITGenerator.from_config(small_models.generator_record(16, 24, 5))
    with pytest.raises(EvaluationError, match=r"tiny/test has 4 classes, the generator 5"):
        evaluate_generation(other, teacher.decode, make_images(), CONFIG, [extractor], tmp_path)
    with pytest.raises(EvaluationError, match="gfid needs at least two images"):
        evaluate_generation(model, teacher.decode, make_images(1), CONFIG, [extractor], tmp_path)
