"""How tests/benchmarks/gpu.py measures: times, the peak of memory, and the least time for the work."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import small_models
import torch
from small_models import seeded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sftok.data.batches import Batch
from sftok.tokenizers.sftok import SIZES, SFTok
from sftok.training.compiling import CompileMode
from sftok.training.loop import TrainingConfig, train
from sftok.training.measure import Enough, Stopwatch
from sftok.training.precision import autocast
from sftok.training.stages.base import Stage, Step

Operations = Mapping[str, float]
"""Counted by the format of the numbers: "bf16", "fp16", "tf32" or "fp32"."""

FORMATS = {torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass
class Bench:
    """Where and at what size to measure."""

    device: torch.device
    tiny: bool
    rates: dict[str, float] = field(default_factory=dict)
    """Operations per second of a large matrix product, by the format of the numbers."""

    @property
    def batch_size(self) -> int:
        return 8 if self.tiny else 32

    @property
    def steps(self) -> int:
        return 3 if self.tiny else 25

    def tokenizer(self, size: str) -> SFTok:
        config = small_models.sftok_config() if self.tiny else SIZES[size]
        return SFTok.from_config(config).to(self.device)

    def batch(self, side: int) -> Batch:
        images = torch.rand(self.batch_size, 3, side, side, generator=seeded())
        return Batch(images, torch.zeros(len(images)).long(), torch.arange(len(images)))

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """The median time of `run`, after two calls that load and make kernels."""
        run(), run()
        times = []
        for _ in range(self.steps):
            self.synchronize()
            started = time.perf_counter()
            run()
            self.synchronize()
            times.append(time.perf_counter() - started)
        return float(np.median(times))

    @contextlib.contextmanager
    def peak(self, row: dict[str, Any]) -> Iterator[None]:
        """Note the most memory that tensors take meanwhile."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        yield
        if self.device.type == "cuda":
            row["peak_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30

    def row(
        self,
        item: str,
        variant: str,
        images: int,
        seconds: float,
        operations: Operations | None = None,
        **more: Any,
    ) -> dict:
        """A line: the speed, and the least time in which the card could do the counted operations."""
        floor = None
        if operations:
            floor = sum(count / self.rates[kind] for kind, count in operations.items())
        return {
            "item": item,
            "variant": variant,
            "images_per_second": images / seconds,
            "milliseconds": 1000 * seconds,
            "floor_milliseconds": None if floor is None else 1000 * floor,
            "share_of_floor": None if floor is None else floor / seconds,
            **more,
        }


class Counted(TorchDispatchMode):
    """Counts the operations of products, convolutions and attention, by the format that they run in."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            single = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "fp32"
            kind = FORMATS.get(args[0].dtype, single)
            self.operations[kind] += formula(*args, **(kwargs or {}), out_val=result)
        return result


def matrix_rates(bench: Bench) -> Iterator[dict]:
    """What the card reaches on one large product: the floor of everything else."""
    size = 256 if bench.tiny else 8192
    allowed = torch.backends.cuda.matmul.allow_tf32
    for name in ("bf16", "fp16", "tf32", "fp32"):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
        left, right = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        seconds = bench.seconds(lambda left=left, right=right: torch.mm(left, right))
        torch.backends.cuda.matmul.allow_tf32 = allowed
        bench.rates[name] = 2 * size**3 / seconds
        yield {"item": f"product of {size}", "variant": name, "tflops": bench.rates[name] / 1e12}


def trained(bench: Bench, stage: Stage, batch: Batch, compile: CompileMode = "none") -> tuple[float, dict]:
    """Seconds of a step within the training loop, and the peak of its memory."""
    training = TrainingConfig(batch_size=len(batch.indices), precision="bf16", log_every=10)
    stopwatch, row = Stopwatch(bench.steps + 2), {}
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough), bench.peak(row):
        where = {"folder": Path(folder), "device": bench.device, "compile": compile}
        steps = stopwatch.steps + 1
        train(
            stage, lambda first: itertools.repeat(batch), steps, training, seed=0, monitor=stopwatch, **where
        )
    return float(np.median(np.diff(np.array(stopwatch.ends)[:, 0])[2:])), row


def step_operations(stage: Stage, batch: Batch, device: torch.device) -> Operations:
    """Operations of a step, counted while it runs; what the loop computes ahead is a part of it."""
    stage.to(device).train()
    with Counted() as counter:
        batch = batch.to(device)
        step = Step(0, batch, seeded(), shared=dict(stage.ahead(batch)))
        for optimizer in stage.optimizers():
            with autocast("bf16", device):
                loss = stage.losses(optimizer, step)["loss"]
            loss.backward()
    stage.zero_grad(set_to_none=True)
    return counter.operations
