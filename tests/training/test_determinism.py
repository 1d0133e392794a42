"""No training runs an operation that PyTorch refuses on a GPU as its result changes from run to run.

It is looked for on the CPU: what a step runs is the same there, except for resizing and cumulative
probabilities, which have another form on a GPU (`sftok.models.resizing`, `sftok.decoding.cumulative`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from every_stage import EVERY_STAGE, OTHER_PARTS
from parallel_worker import batches
from refused_on_gpus import Refused
from small_models import draw, seeded

from sftok.data.batches import Batch
from sftok.decoding import cumulative
from sftok.models import resizing
from sftok.training.stages.base import Stage, Step


def operations(stage: Stage, batch: Batch) -> set[str]:
    """The refused operations of an update at which every optimizer works."""
    stage.train()
    with Refused() as refused:
        step = Step(10**9, batch, seeded())
        for optimizer in stage.optimizers():
            stage.losses(optimizer, step)["loss"].backward()
    return refused.found


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = {
        resizing.resize: resizing.resize_by_products,
        cumulative.cumulative: cumulative.cumulative_exactly,
    }
    for function, other in replaced.items():
        for module in list(sys.modules.values()):
            if vars(module).get(function.__name__) is function:
                monkeypatch.setattr(module, function.__name__, other)


@pytest.mark.parametrize("name", EVERY_STAGE | OTHER_PARTS)
def test_a_step_runs_nothing_that_a_gpu_refuses(as_on_a_gpu: None, name: str) -> None:
    make: Callable[[], Stage] = (EVERY_STAGE | OTHER_PARTS)[name]
    assert operations(make(), next(batches(0))) == set()


@pytest.mark.parametrize(
    ("refused", "run"),
    [
        ("upsample_bicubic2d_backward", lambda x: F.interpolate(x, 3, mode="bicubic")),
        ("_adaptive_avg_pool2d_backward", lambda x: F.adaptive_avg_pool2d(x, 3)),
        ("nll_loss2d_forward", lambda x: F.cross_entropy(x, torch.zeros(2, 4, 4, dtype=torch.int64))),
        ("cumsum", lambda x: x.cumsum(-1)),
        ("median", lambda x: x.median(-1).values),
    ],
)
def test_what_a_gpu_refuses_is_noticed(refused: str, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with Refused() as mode:
        run(draw(2, 3, 4, 4).requires_grad_()).sum().backward()
    assert mode.found == {refused}


def test_what_a_gpu_accepts_is_not_noticed() -> None:
    with Refused() as mode:
        F.adaptive_avg_pool2d(draw(2, 3, 4, 4).requires_grad_(), 1).sum().backward()
        torch.arange(5).cumsum(0)
        draw(5).median()
    assert mode.found == set()
