from __future__ import annotations

import math

import pytest

from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.evaluation import guidance_choice
from sftok.evaluation.config import EvaluationError
from sftok.evaluation.guidance_choice import GuidanceChoice, choose_guidance

POINTS = GuidanceGrid(scales=(0.0, 4.0), temperatures=(2.0,)).points(3, "arccos")


@pytest.fixture
def choose(model, decode, images, extractor, generation_config, tmp_path):
    def choose(points=POINTS, **changes) -> GuidanceChoice:
        arguments = (points, generation_config, extractor, tmp_path)
        return choose_guidance(model, decode, images, *arguments, **changes)

    return choose


def test_the_point_with_the_lowest_gfid_is_chosen(choose, generate):
    progress: list[float] = []
    found = choose(on_progress=progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert [point for point, _ in found.points] == POINTS
    assert found.chosen == min(found.points, key=lambda item: item[1])[0]
    assert len({gfid for _, gfid in found.points}) > 1
    point, gfid = found.points[1]
    (row,) = (row for row in generate(generation=point).rows if row["metric"] == "gfid")
    assert row["value"] == gfid


def test_nan_is_never_chosen_over_a_number(choose, monkeypatch):
    values = iter((math.nan, 3.0, 2.0, 2.0))

    class Measured:
        def __init__(self, value):
            self.rows = [{"metric": "gfid", "value": value}]

    monkeypatch.setattr(guidance_choice, "evaluate_generation", lambda *_, **__: Measured(next(values)))
    assert choose().chosen == POINTS[2], "the first of equal ones"


def test_an_empty_grid_is_refused(choose):
    with pytest.raises(EvaluationError, match="no guidance to choose among"):
        choose(points=[])
