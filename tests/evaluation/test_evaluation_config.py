from __future__ import annotations

import subprocess
import sys

import pytest

from sftok.config import ConfigError
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.extractors.base import ExtractorConfig


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ({"name": "efficientnet-lite0", "resolution": 48}, "efficientnet-lite0@48"),
        ("efficientnet-lite0", "efficientnet-lite0@64"),
        ("classifier", "classifier"),
        ("inception-v3-compat", "inception-v3-compat"),
    ],
)
def test_a_label_states_the_resolution_where_there_is_a_choice(value, label):
    config = ExtractorConfig.member_of(value)
    assert config.label == label
    assert config.in_domain == (label == "classifier")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": ()}, "steps"),
        ({"steps": (1, 1)}, "steps has duplicates"),
        ({"steps": (0,)}, "steps"),
        ({"extractors": ["classifier", "classifier"]}, "extractors has duplicates"),
        ({"extractors": ["inception"]}, "inception-v3-compat"),
        (
            {"extractors": [{"name": "classifier", "resolution": 48}]},
            "unknown key 'resolution' of the extractor 'classifier'",
        ),
        ({"extractors": [{"name": "efficientnet-lite0", "resolution": 65}]}, "64"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig.build(values)


def test_planning_loads_no_network_code():
    script = (
        "import sys, sftok.evaluation.config, sftok.analysis.steps, sftok.analysis.contexts\n"
        "from sftok.components import _import_all\n"
        "_import_all('sftok.metrics'); _import_all('sftok.evaluation.extractors')\n"
        "sys.exit(bool({'timm', 'torch_fidelity', 'lpips', 'torchvision'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
