"""Where the tests of this folder run: on a GPU, or with `--device cpu` on the CPU in its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sftok.device import describe_device, open_device

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments" / "executors"))  # for `making`


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("cpu", "cuda"), help="where tests/gpu runs (default: cuda only)")


def pytest_report_header(config: pytest.Config) -> str:
    name = config.getoption("--device", default=None) or ("cuda" if torch.cuda.is_available() else None)
    return f"tests/gpu: on {describe_device(name)}" if name else "tests/gpu: skipped, there is no GPU"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """`cuda`, or `cpu` if asked for; marked tests are cheap enough for the CPU in any case."""
    chosen = request.config.getoption("--device", default=None)
    if chosen is None and torch.cuda.is_available():
        chosen = "cuda"
    if chosen is None and request.node.get_closest_marker("stand_in"):
        chosen = "cpu"
    if chosen is None:
        pytest.skip("no GPU; `pytest tests/gpu --device cpu` runs it on the CPU")
    return str(chosen)


@pytest.fixture
def opened(name: str) -> Iterator[Callable[..., torch.device]]:
    """Opens the device as a run does; PyTorch's settings come back afterwards."""
    strict, filled = (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    rounded = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True)
    yield lambda tf32=False: open_device(name, tf32=tf32)  # type: ignore[arg-type]
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = rounded


@pytest.fixture
def device(opened: Callable[..., torch.device]) -> torch.device:
    """The device, with exact float32 products."""
    return opened()
