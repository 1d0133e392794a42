"""No training runs an operation that PyTorch refuses on a GPU as its result changes from run to run.

It is looked for on the CPU: what a step runs is the same there, except for resizing and cumulative
probabilities, which have another form on a GPU (`sftok.models.resizing`, `sftok.decoding.cumulative`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_stage import EVERY_STAGE, OTHER_PARTS
from parallel_worker import batches
from small_models import draw, seeded
from torch.utils._python_dispatch import TorchDispatchMode

from sftok.data.batches import Batch
from sftok.decoding import cumulative
from sftok.models import resizing
from sftok.training.stages.base import Stage, Step

REFUSED = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_ctc_loss_backward",
    "_embedding_bag_dense_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "max_unpool2d",
    "max_unpool3d",
    "median.dim",
    "nanmedian.dim",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
}
"""As listed under `torch.use_deterministic_algorithms`, and antialiased resizing, which adds in any order."""

TOO_LARGE = {"cumsum"}
"""On real numbers, PyTorch's deterministic replacement takes memory for the square of the length."""


class Refused(TorchDispatchMode):
    """Collects the names of operations that a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        packet = func.overloadpacket.__name__
        name = f"{packet}.{func._overloadname}"
        real = isinstance(args[0], torch.Tensor) and args[0].is_floating_point() if args else False
        if packet in REFUSED or name in REFUSED or (packet in TOO_LARGE and real):
            self.found.add(packet)
        return func(*args, **(kwargs or {}))


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
