from __future__ import annotations

import pytest
import small_models
import torch

from sftok.decoding.guidance import GenerationConfig
from sftok.evaluation.config import EvaluationError
from sftok.evaluation.generation import balanced_labels, evaluate_generation
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import Evaluation, Protocol
from sftok.evaluation.reference import reference_features
from sftok.generators.maskgit import MaskGITGenerator
from sftok.metrics.fid import GFIDConfig, frechet_distance
from sftok.metrics.kid import KIDConfig


def values(evaluation: Evaluation) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in evaluation.rows}


def test_it_measures_the_metrics_of_table_2_or_those_it_is_asked_for(generate):
    found = generate()
    assert values(found).keys() == {"gfid", "is", "precision", "recall"} == found.metrics.keys()
    assert {(row["steps"], row["temperature"], row["extractor"], row["n_images"]) for row in found.rows} == {
        (3, 2.0, "classifier", 30)
    }
    assert {row["subject"] for row in found.rows} == {"generation"}
    other = generate(metrics=(KIDConfig(), GFIDConfig()))
    assert values(other).keys() == {"gfid", "kid"}
    assert values(other)["gfid"] == values(found)["gfid"]


def test_numbers_and_examples_are_those_of_the_generators_own_samples(
    generate, model, teacher, images, extractor, tmp_path
):
    still = GenerationConfig(steps=3, temperature=0.0, guidance_scale=1.0)
    found = generate(generation=still)
    ids = model.sample(balanced_labels(torch.arange(30), 4), still, torch.Generator())
    pixels = to_uint8(teacher.decode(ids))
    reference = reference_features(extractor, images, tmp_path, 8)
    expected = frechet_distance(extractor(pixels).features, reference)
    assert values(found)["gfid"] == pytest.approx(expected, rel=1e-3)
    for name, part in (("S1", pixels[:4]), ("S2", pixels[4:8])):
        assert found.examples[name] == pytest.approx(part.numpy().astype(int), abs=1)


def test_a_line_of_examples_has_one_sample_of_each_class(generate):
    found = generate().examples
    assert (found["labels"].tolist(), found["class_names"].tolist()) == ([0, 1, 2, 3], ["a", "b", "c", "d"])
    assert found["S1"].shape == found["S2"].shape == (4, 3, 16, 16)
    everything = generate(examples_per_class=99).examples
    strips = [name for name in everything if name.startswith("S")]
    assert strips == [f"S{number}" for number in range(1, 8)], "30 samples of 4 classes: 7 of each"
    assert everything["S7"].dtype == "uint8"


def test_the_protocol_names_the_reference_set_and_differs_from_that_of_reconstructions(generate, images):
    protocol = generate().protocol
    assert (protocol.data, protocol.n_images) == (images.fingerprint, 30)
    assert protocol.record()["n_reference"] == len(images)
    shared = {"extractors": protocol.extractors, "data": protocol.data, "n_images": 30, "precision": "fp32"}
    assert protocol.fingerprint != Protocol(**shared).fingerprint
    assert protocol.fingerprint != generate(num_images=20).protocol.fingerprint


def test_the_protocol_says_how_the_sampling_was_chosen_but_not_what_was_chosen(generate):
    stronger = GenerationConfig(steps=3, temperature=2.0, guidance_scale=8.0)
    strong, weak = generate(generation=stronger), generate()
    assert values(strong) != values(weak)
    assert strong.protocol.fingerprint == weak.protocol.fingerprint
    assert generate(choice="by eye").protocol.fingerprint != weak.protocol.fingerprint


def test_what_does_not_fit_is_refused_before_any_work(
    model, decode, make_images, extractor, generation_config, tmp_path
):
    other = MaskGITGenerator.from_config(small_models.generator_record(16, 24, 5))
    for generator, images, message in (
        (other, make_images(), r"tiny/test has 4 classes, the generator 5"),
        (model, make_images(1), "gfid needs at least two images"),
    ):
        with pytest.raises(EvaluationError, match=message):
            evaluate_generation(generator, decode, images, generation_config, [extractor], tmp_path)


def test_samples_that_are_not_finite_give_no_number(generate, monkeypatch, teacher):
    monkeypatch.setattr(teacher, "decode", lambda ids: torch.full((len(ids), 3, 16, 16), torch.nan))
    with pytest.raises(EvaluationError, match="not finite"):
        generate()
