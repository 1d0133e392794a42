from __future__ import annotations

import math

import pytest

from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.evaluation import guidance_choice
from sftok.evaluation.config import EvaluationError, GenerationEvaluationConfig
from sftok.evaluation.generation import evaluate_generation
from sftok.evaluation.guidance_choice import GuidanceChoice, choose_guidance

CONFIG = GenerationEvaluationConfig(num_images=12, extractors=("classifier",), batch_size=8)
POINTS = GuidanceGrid(scales=(0.0, 4.0), temperatures=(2.0,)).points(3, "arccos")


@pytest.fixture
def choose(model, teacher, images, extractor, tmp_path):
    def choose(points=POINTS, **changes) -> GuidanceChoice:
        return choose_guidance(
            model,
            lambda ids, noise: teacher.decode(ids),
            images,
            points,
            CONFIG,
            extractor,
            tmp_path,
            **changes,
        )

    return choose


def test_the_point_with_the_lowest_gfid_is_chosen(choose):
    found = choose()
    assert [point for point, _ in found.points] == POINTS
    by_gfid = sorted(found.points, key=lambda item: item[1])
    assert found.chosen == by_gfid[0][0]
    assert len({gfid for _, gfid in found.points}) > 1


def test_each_point_has_the_number_of_an_evaluation_of_it(
    choose, model, teacher, images, extractor, tmp_path
):
    point, gfid = choose().points[1]
    alone = evaluate_generation(
        model,
        lambda ids, noise: teacher.decode(ids),
        images,
        CONFIG.model_copy(update={"generation": point}),
        [extractor],
        tmp_path,
    )
    assert alone.rows[0]["value"] == gfid


def test_nan_is_never_chosen_over_a_number(choose, monkeypatch):
    values = iter((math.nan, 3.0, 2.0, 2.0))

    class Measured:
        def __init__(self, value):
            self.rows = [{"metric": "gfid", "value": value}]

    monkeypatch.setattr(guidance_choice, "evaluate_generation", lambda *_, **__: Measured(next(values)))
    assert choose().chosen == POINTS[2], "the first of equal ones"


def test_progress_rises_to_one(choose):
    seen: list[float] = []
    choose(on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_an_empty_grid_is_refused(choose):
    with pytest.raises(EvaluationError, match="no guidance to choose among"):
        choose(points=[])
