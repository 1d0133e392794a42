"""What holds for every metric of the family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from batches import COUNT, SPACE, TENSORS, VOCABULARY, alexnet, draw, part, reference, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from sftok.components import _import_all
from sftok.config import ConfigError
from sftok.evaluation.config import EvaluationConfig, GenerationEvaluationConfig
from sftok.metrics import lpips as lpips_module
from sftok.metrics.base import Features, Measured, Metric, MetricConfig, Setup, build_metrics, describe
from sftok.metrics.quantity import Quantity

_import_all(MetricConfig.package)
METRICS = sorted(name for name in MetricConfig.members if ":" not in name)
CPU = torch.device("cpu")
SETUP = Setup(device=CPU, reference=reference(draw(0)), codebook_size=VOCABULARY, pixels=1088)
WHOLE = whole()

ORDER_MATTERS = {"kid"}
"""They draw subsets of the images."""


@pytest.fixture(autouse=True, scope="module")
def random_alexnet() -> Iterator[None]:
    network = alexnet()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lpips_module, "lpips_network", lambda net: network)
        yield


def build(name: str) -> Metric:
    return MetricConfig.find(name)().build(SETUP)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=10, deadline=None)
@given(
    order=st.permutations(range(COUNT)),
    cuts=st.sets(st.integers(1, COUNT - 1), max_size=4),
    merged=st.booleans(),
)
def test_any_split_and_order_of_the_data_agree(name, order, cuts, merged):
    order = sorted(order) if name in ORDER_MATTERS else order
    expected, found = build(name), build(name)
    expected.update(WHOLE)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), COUNT], strict=True):
        target = build(name) if merged else found
        target.update(part(WHOLE, order[start:stop]))
        if merged:
            found.merge(target)
    assert found.compute() == pytest.approx(expected.compute(), rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_its_values_are_those_it_describes_and_computing_or_resetting_leaves_no_trace(name):
    config, metric = MetricConfig.find(name)(), build(name)
    with pytest.raises(ValueError, match=r"nothing was seen|fewer than two"):
        metric.compute()
    for _ in range(2):
        metric.update(WHOLE)
        values = metric.compute()
        assert metric.compute() == values
        metric.reset()
    metric.update(WHOLE)
    assert metric.compute() == values
    assert list(values) == [quantity.name for quantity in config.quantities] == list(describe([config]))
    assert metric.extractor == (SPACE if config.of_features else "")


@pytest.mark.parametrize("name", METRICS)
def test_it_does_without_what_it_does_not_need(name):
    config, with_rest, alone = MetricConfig.find(name)(), build(name), build(name)
    with_rest.update(WHOLE)
    needs = config.needs | ({"teacher_codes"} if "codes" in config.needs else set())
    given = WHOLE.features[SPACE] if "logits" in config.needs else Features(WHOLE.features[SPACE].features)
    features = {SPACE: given} if config.of_features else {}
    tensors = {need: getattr(WHOLE, need) for need in needs & {*TENSORS, "labels"}}
    alone.update(Measured(**tensors, features=features))
    assert alone.compute() == with_rest.compute()


def test_one_metric_is_built_for_each_feature_space_that_has_what_it_needs():
    spaces = [reference(draw(0)), reference(Features(draw(1).features))]
    configs = [MetricConfig.find(name)() for name in ("is", "rfid", "psnr", "code_accuracy", "codebook_use")]
    built = build_metrics(configs, {"images", "originals", "ids"}, spaces, CPU, 8)
    expected = ["InceptionScore", "FrechetDistance", "FrechetDistance", "PSNR", "CodebookUse"]
    assert [type(metric).__name__ for metric in built] == expected


def test_a_description_says_what_numbers_mean_and_whether_they_have_a_feature_space():
    described = describe([MetricConfig.find("rfid")(), MetricConfig.find("psnr")()])
    found = {
        name: (Quantity.model_validate(each).heading, each["of_features"]) for name, each in described.items()
    }
    assert found == {"rfid": ("rFID ↓", True), "psnr": ("PSNR (dB) ↑", False)}


@pytest.mark.parametrize(
    ("config", "metrics", "message"),
    [
        (EvaluationConfig, ["rfdi"], "did you mean 'rfid'"),
        (EvaluationConfig, ["psnr", "psnr"], "metrics has duplicates"),
        (EvaluationConfig, ["gfid"], "gfid needs reference_set, which reconstructions do not have"),
        (EvaluationConfig, [{"name": "kid", "subset": 3}], "unknown key 'subset' of the metric 'kid'"),
        (GenerationEvaluationConfig, ["kid", "kid"], "metrics has duplicates"),
        (GenerationEvaluationConfig, ["psnr"], "psnr needs originals, which generated images do not have"),
    ],
)
def test_metrics_that_cannot_be_measured_are_refused(config, metrics, message):
    with pytest.raises(ConfigError, match=message):
        config.build({"metrics": metrics})


def test_weights_are_looked_for_without_measuring_anything(monkeypatch):
    asked = []
    monkeypatch.setattr(lpips_module, "lpips_network", asked.append)
    for name in METRICS:
        MetricConfig.find(name)().check_weights()
    assert asked == ["alex"]
