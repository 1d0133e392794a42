"""No analysis runs an operation that PyTorch refuses on a GPU; it is looked for on the CPU."""

from __future__ import annotations

import pytest
import torch
from refused_on_gpus import Refused
from small_models import seeded, sftok_config

from sftok.analysis.contexts import ContextStatistics
from sftok.analysis.steps import StepStatistics
from sftok.decoding.schedule import DecodingConfig
from sftok.tokenizers.sftok import SFTok


@pytest.mark.parametrize("statistics", [StepStatistics(DecodingConfig(steps=3)), ContextStatistics()])
def test_a_batch_runs_nothing_that_a_gpu_refuses(statistics: StepStatistics | ContextStatistics) -> None:
    tokenizer = SFTok.from_config(sftok_config()).eval()
    ids, codes = torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 16, dtype=torch.int64)
    with Refused() as refused:
        statistics.update(tokenizer, ids, codes, seeded())
    assert refused.found == set()
    assert statistics.compute()
