from __future__ import annotations

import pytest

from sftok.config import ConfigError
from sftok.evaluation.config import EvaluationConfig, ExtractorConfig


def test_a_label_states_the_resolution_where_there_is_a_choice():
    assert ExtractorConfig(name="efficientnet-lite0", resolution=48).label == "efficientnet-lite0@48"
    assert ExtractorConfig(name="classifier").label == "classifier"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": ()}, "steps"),
        ({"steps": (1, 1)}, "steps names something twice"),
        ({"steps": (0,)}, "steps"),
        ({"schedule": "arcos"}, "arccos"),
        (
            {"extractors": [{"name": "classifier"}, {"name": "classifier"}]},
            "extractors names something twice",
        ),
        ({"extractors": [{"name": "inception"}]}, "inception-v3-compat"),
        ({"extractors": [{"name": "classifier", "resolution": 48}]}, "resolution belongs to efficientnet"),
        ({"extractors": [{"name": "efficientnet-lite0", "resolution": 65}]}, "64"),
        ({"temprature": 1.0}, "temperature"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig.build(values)


def test_it_survives_json():
    config = EvaluationConfig(extractors=(ExtractorConfig(name="efficientnet-lite0"),), steps=(2, 4))
    assert EvaluationConfig.model_validate_json(config.model_dump_json()) == config
