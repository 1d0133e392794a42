"""Saved samples against images, and against the statistics of ADM's reference batches."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from sftok.data.base import DataError
from sftok.data.plain_images import ArrayImageSet, read_plain_images
from sftok.evaluation.config import EvaluationError
from sftok.evaluation.reference import SetReference, open_reference
from sftok.evaluation.samples import SamplesConfig, evaluate_samples

INCEPTION = "inception-v3-compat"


def array(images) -> np.ndarray:
    return images.pixels.permute(0, 2, 3, 1).numpy()


@pytest.fixture
def inception(extractor):
    return dataclasses.replace(extractor, label=INCEPTION)


@pytest.fixture
def config() -> SamplesConfig:
    return SamplesConfig(extractors=(INCEPTION,), batch_size=16)


def values(evaluation) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in evaluation.rows}


def adm_formula(one: torch.Tensor, mean: np.ndarray, covariance: np.ndarray) -> float:
    """FID as `guided-diffusion/evaluations` computes it from activations and a reference's statistics."""
    activations = one.double().numpy()
    own_mean, own_covariance = activations.mean(0), np.cov(activations, rowvar=False)
    root = scipy.linalg.sqrtm(own_covariance @ covariance).real
    difference = own_mean - mean
    return difference @ difference + np.trace(own_covariance) + np.trace(covariance) - 2 * np.trace(root)


@pytest.fixture
def statistics(inception, images) -> dict[str, np.ndarray]:
    features = inception(images.pixels).features.double().numpy()
    return {"mu": features.mean(0), "sigma": np.cov(features, rowvar=False)}


def test_adms_statistics_give_the_number_of_adms_formula(
    inception, config, images, make_images, statistics, tmp_path
) -> None:
    np.savez(tmp_path / "reference.npz", array(images), **statistics)
    samples = ArrayImageSet("samples", array(make_images(40, seed=3)))
    reference = open_reference(tmp_path / "reference.npz", 16)
    found = values(evaluate_samples(samples, reference, config, [inception], tmp_path))
    features = inception(samples.images(torch.arange(40))).features
    assert found["gfid"] == pytest.approx(
        adm_formula(features, statistics["mu"], statistics["sigma"]), rel=1e-4
    )
    same = values(evaluate_samples(samples, SetReference(images), config, [inception], tmp_path))
    assert found == pytest.approx(same, rel=1e-6)
    assert found.keys() == {"gfid", "is", "precision", "recall"}


def test_statistics_without_images_leave_precision_and_recall_out(
    inception, extractor, config, make_images, statistics, tmp_path
) -> None:
    np.savez(tmp_path / "reference.npz", **statistics)
    samples = ArrayImageSet("samples", array(make_images(40, seed=3)))
    reference = open_reference(tmp_path / "reference.npz", 16)
    found = evaluate_samples(samples, reference, config, [inception], tmp_path)
    assert values(found).keys() == {"gfid", "is"}
    assert found.examples["samples"].shape == (16, 3, 16, 16)
    other = config.model_copy(update={"extractors": SamplesConfig(extractors=("classifier",)).extractors})
    with pytest.raises(EvaluationError, match=r"has statistics of inception-v3-compat and no images"):
        evaluate_samples(samples, reference, other, [extractor], tmp_path)


def test_the_reference_is_part_of_the_protocol(inception, config, images, make_images, tmp_path) -> None:
    samples = ArrayImageSet("samples", array(make_images(20, seed=3)))
    prints = {
        evaluate_samples(samples, SetReference(other), config, [inception], tmp_path).protocol.fingerprint
        for other in (images, make_images(30))
    }
    assert len(prints) == 2


def test_statistics_of_other_shapes_are_refused(tmp_path) -> None:
    np.savez(tmp_path / "reference.npz", mu=np.zeros(3), sigma=np.eye(4))
    with pytest.raises(DataError, match=r"mu is \[3\] and sigma \[4, 4\]"):
        open_reference(tmp_path / "reference.npz", 16)


def test_an_array_without_statistics_is_a_set_of_images(images, tmp_path) -> None:
    np.savez(tmp_path / "reference.npz", array(images))
    reference = open_reference(tmp_path / "reference.npz", 16)
    assert isinstance(reference, SetReference)
    with pytest.raises(DataError, match="its images have 16 pixels a side, not 32"):
        read_plain_images(tmp_path / "reference.npz", 32)


def test_a_folder_sorted_by_class_is_read_in_mixed_order(images, tmp_path) -> None:
    for place, image in enumerate(array(images)):
        folder = tmp_path / "reference" / f"class{place // 25}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place}.png")
    reference = open_reference(tmp_path / "reference", 16)
    assert isinstance(reference, SetReference)
    first = [name.partition("/")[0] for name in reference.image_set.names[:20]]
    assert set(first) == {"class0", "class1"}
    by_path = read_plain_images(tmp_path / "reference").names
    order = [reference.image_set.names.index(name) for name in by_path]
    assert torch.equal(reference.image_set.images(torch.tensor(order)), images.pixels)
