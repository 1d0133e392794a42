from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics

from sftok.evaluation.extractors import Extractor, Features
from sftok.evaluation.fidelity import Fidelity, frechet_distance, to_uint8
from sftok.evaluation.metrics import Reconstructions
from sftok.evaluation.reference import Reference, inception_score

LABEL = "tiny"
COUNT = 40


def draw(seed: int, scale: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(9))
    features = scale * torch.randn(COUNT, 6, generator=generator) @ mixing
    return Features(features=features, logits=3 * torch.randn(COUNT, 4, generator=generator))


def reference(found: Features) -> Reference:
    doubles = found.features.double()
    return Reference(
        extractor=LABEL,
        features=found.features,
        mean=doubles.mean(0),
        covariance=doubles.T.cov(),
        inception_score=inception_score(found.logits),
    )


def batch(found: Features) -> Reconstructions:
    images = torch.zeros(len(found.features), 3, 2, 2)
    codes = torch.zeros(len(found.features), 1, dtype=torch.int64)
    return Reconstructions(
        originals=images, images=images, codes=codes, teacher_codes=codes, features={LABEL: found}
    )


REFERENCE, OTHER = reference(draw(0)), draw(1, 1.3)


def test_truncation_is_exact_on_pixels_and_otherwise_rounds_down():
    pixels = torch.arange(256).byte()
    assert torch.equal(to_uint8(pixels.float() / 255), pixels)
    assert torch.equal(to_uint8(pixels.float().div_(255)), pixels)
    assert to_uint8(torch.tensor([-0.1, 0.9999, 1.0, 1.2])).tolist() == [0, 254, 255, 255]


def test_frechet_distance_is_its_definition():
    covariance = OTHER.features.double().T.cov().numpy()
    mean = OTHER.features.double().mean(0).numpy()
    root = scipy.linalg.sqrtm(covariance @ REFERENCE.covariance.numpy())
    difference = mean - REFERENCE.mean.numpy()
    expected = difference @ difference + np.trace(covariance + REFERENCE.covariance.numpy() - 2 * root.real)
    assert frechet_distance(OTHER.features, REFERENCE) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_to_itself_is_zero():
    assert frechet_distance(REFERENCE.features, REFERENCE) == pytest.approx(0, abs=1e-4)


def test_inception_score_of_certain_and_of_empty_predictions():
    certain = 100 * torch.eye(5).repeat(4, 1)
    assert inception_score(certain) == pytest.approx(5)
    assert inception_score(torch.zeros(7, 5)) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(COUNT)), cut=st.integers(1, COUNT - 1))
def test_any_split_and_order_agree(order, cut):
    expected = Fidelity(REFERENCE, ["precision_recall"])
    expected.update(batch(OTHER))
    parts = [
        batch(Features(OTHER.features[indices], OTHER.logits[indices]))
        for indices in (order[:cut], order[cut:])
    ]
    found, more = Fidelity(REFERENCE, ["precision_recall"]), Fidelity(REFERENCE, ["precision_recall"])
    found.update(parts[0])
    more.update(parts[1])
    found.merge(more)
    assert found.compute() == pytest.approx(expected.compute(), rel=1e-6)


def test_extra_metrics_come_when_asked_for():
    metric = Fidelity(REFERENCE, ["kid", "precision_recall"])
    metric.update(batch(OTHER))
    found = metric.compute()
    assert found.keys() == {"rfid", "is", "kid", "precision", "recall"}
    assert 0 < found["precision"] <= 1
    assert 0 < found["recall"] <= 1
    plain = Fidelity(REFERENCE)
    plain.update(batch(OTHER))
    assert plain.compute() == {name: found[name] for name in ("rfid", "is")}


def test_one_image_is_too_few():
    metric = Fidelity(REFERENCE)
    metric.update(batch(Features(OTHER.features[:1], OTHER.logits[:1])))
    with pytest.raises(ValueError, match="fewer than two"):
        metric.compute()


class Pixels(Dataset[Tensor]):
    def __init__(self, pixels: Tensor):
        self.pixels = pixels

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index]

    def __len__(self) -> int:
        return len(self.pixels)


def test_the_whole_way_is_torch_fidelitys(tiny, images, make_images, monkeypatch):
    """Against `calculate_metrics`, which extracts features by itself."""
    from torch_fidelity import registry

    class Registered(type(tiny)):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: object):
            super().__init__()
            self.name, self.features_list = name, features_list

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

    monkeypatch.setitem(registry.FEATURE_EXTRACTORS_REGISTRY, "tiny", Registered)
    real, fake = images.pixels, make_images(seed=1).pixels
    official = calculate_metrics(
        input1=Pixels(fake),
        input2=Pixels(real),
        feature_extractor="tiny",
        fid=True,
        isc=True,
        kid=True,
        prc=True,
        isc_splits=1,
        samples_shuffle=False,
        kid_subset_size=50,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    extractor = Extractor(LABEL, "", tiny, chunk=8, device=torch.device("cpu"))
    metric = Fidelity(reference(extractor(real)), ["kid", "precision_recall"])
    found = extractor(fake)
    metric.update(dataclasses.replace(batch(found)))
    assert metric.compute() == pytest.approx(
        {
            "rfid": official["frechet_inception_distance"],
            "is": official["inception_score_mean"],
            "kid": official["kernel_inception_distance_mean"],
            "precision": official["precision"],
            "recall": official["recall"],
        },
        rel=1e-4,
    )
