"""What holds for the evaluation of reconstructions and of generated images both."""

from __future__ import annotations

import json

import pytest
import torch

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.metrics.base import Measured, Metric, MetricConfig, Setup
from sftok.metrics.density_coverage import DensityCoverageConfig
from sftok.metrics.kid import KIDConfig
from sftok.metrics.precision_recall import PrecisionRecallConfig
from sftok.metrics.quantity import Quantity


@pytest.fixture(params=["reconstruct", "generate"])
def run(request):
    return request.getfixturevalue(request.param)


@pytest.mark.usefixtures("threads")
def test_a_seed_fixes_every_bit_for_any_number_of_threads(run):
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(run())
    assert found[0].rows == found[1].rows
    for name, strip in found[0].examples.items():
        assert (strip == found[1].examples[name]).all()
    assert run(seed=1).rows != found[0].rows


def test_global_random_state_is_neither_read_nor_changed(run):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = run()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert run().rows == first.rows


def test_a_result_is_json_and_describes_every_number(run):
    found = run()
    assert json.loads(json.dumps(found.result())) == found.result()
    assert {row["metric"] for row in found.rows} == found.metrics.keys()


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"metrics": (KIDConfig(subset_size=20),)}], ids=["bf16", "kid"]
)
def test_precision_and_settings_of_metrics_are_part_of_the_protocol(run, changes):
    assert run(**changes).protocol.fingerprint != run().protocol.fingerprint


def test_a_number_of_fewer_images_says_so(run):
    found = run(metrics=(PrecisionRecallConfig(images=12), DensityCoverageConfig(images=10**6)))
    counts = {row["metric"]: row["n_images"] for row in found.rows}
    assert counts.pop("precision") == counts.pop("recall") == 12
    (seen,) = {counts[name] for name in ("density", "coverage")}
    assert seen > 12


def test_progress_rises_to_one(run):
    seen: list[float] = []
    run(on_progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] < 1
    assert seen[-1] == 1
    assert len(seen) >= 4


def test_extractors_that_were_not_asked_for_are_refused(run):
    message = r"asks for \['efficientnet-lite0@64'\], got \['classifier'\]"
    with pytest.raises(EvaluationError, match=message):
        run(extractors=(EfficientNetLite0Config(),))


class BrightnessConfig(MetricConfig):
    """A metric from outside the package."""

    quantities = (Quantity(name="brightness", label="Brightness", meaning="mean of all pixels"),)
    needs = frozenset({"images"})

    def build(self, setup: Setup) -> Metric:
        return Brightness()


class Brightness(Metric):
    def reset(self) -> None:
        self.images: list[torch.Tensor] = []

    def update(self, batch: Measured) -> None:
        self.images.append(batch.images)

    def merge(self, other: Brightness) -> None:
        self.images += other.images

    def compute(self) -> dict[str, float]:
        return {"brightness": float(torch.cat(self.images).mean())}


def test_a_metric_from_outside_the_package_is_measured_and_described(run):
    found = run(metrics=(BrightnessConfig(),))
    assert {row["metric"] for row in found.rows} == {"brightness"}
    assert all(0 < row["value"] < 1 for row in found.rows)
    assert found.metrics["brightness"]["label"] == "Brightness"
