"""From distances to reports, by hand; and the fast distance against torch-fidelity's."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import draw

from sftok.calibration.distortions import DISTORTIONS, MIXED, WRONG
from sftok.calibration.frechet import Normal
from sftok.calibration.statistics import UNDISTORTED, Distances, mean, mixture, report
from sftok.metrics.base import Reference
from sftok.metrics.fid import frechet_distance
from sftok.metrics.linear_algebra import moments


@pytest.mark.parametrize(("count", "width"), [(40, 5), (8, 30)])
def test_the_distance_is_torch_fidelitys(count, width):
    one = draw(count, width) @ draw(width, width, seed=1)
    other = draw(count + 3, width, seed=2) + 1
    mu, covariance = moments(other)
    expected = frechet_distance(one, Reference("x", other, mu, covariance, None))
    assert Normal.of(one).distance(Normal.of(other)) == pytest.approx(expected, rel=1e-4)
    assert Normal.of(one).distance(Normal.of(one)) == pytest.approx(0, abs=1e-6)


def distances(wrong: float = 4.0, draws: int = 3, **replaced: list[float]) -> Distances:
    """FID that is 1 without a distortion and grows by 1 with each strength, unless it is given."""
    found = {UNDISTORTED: 1.0}
    for name, distortion in DISTORTIONS.items():
        values = replaced.get(name, [2.0, 3.0, 4.0, 5.0, 6.0])
        found |= {
            (name, strength): value for strength, value in zip(distortion.strengths, values, strict=True)
        }
    for kind in WRONG:
        found |= {(mixture(kind), share): 2 + (wrong - 2) * share for share in MIXED}
    noise = np.linspace(0, 0.1, draws)
    return {place: {10: value + noise, 5: value + np.zeros(2 * draws)} for place, value in found.items()}


def test_a_space_that_follows_has_a_correlation_of_1_and_tells_all_neighbors_apart():
    found = report("space", [distances()], draw=10)
    assert found.rho["blur"].mean == found.rho["blur"].low == pytest.approx(1)
    assert found.right["blur"] == {10: 1.0, 5: 1.0}
    assert found.images_needed("blur") == 5
    assert found.seed_agreement is None
    assert found.wrong_over_blurred["same_class"].mean == pytest.approx(1, abs=0.05)


def test_a_space_that_does_not_follow_one_distortion_says_which():
    found = report("space", [distances(blur=[2.0, 3.0, 4.0, 0.5, 0.2])], draw=10)
    assert found.rho["blur"].mean < 0 < found.rho["jpeg"].low
    assert found.right["blur"][10] == pytest.approx(3 / 5)
    assert found.images_needed("blur") is None


def test_seeds_are_compared_over_all_sets_whatever_the_scale_of_their_features():
    scaled = {place: {size: 9 * each for size, each in parts.items()} for place, parts in distances().items()}
    same = report("space", [distances(), scaled], draw=10)
    assert same.seed_agreement == pytest.approx(1)
    assert same.seed_movement == pytest.approx(0, abs=1e-9)
    differs = report("space", [distances(wrong=1.0), distances(wrong=8.0)], draw=10)
    assert differs.seed_agreement < 1
    assert differs.seed_movement > 0
    blurred_is_worse, wrong_is_worse = differs.sides_of_seeds["same_class"]
    assert blurred_is_worse < 0 < wrong_is_worse


def test_an_interval_is_students():
    found = mean([1.0, 2.0, 3.0])
    assert (found.mean, found.high - found.mean) == (2.0, pytest.approx(4.302653 / 3**0.5))
    assert str(mean([1.0, 1.0])) == "1.00 [1.00, 1.00]"
