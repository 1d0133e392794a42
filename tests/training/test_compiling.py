"""`torch.compile` takes whole networks: no graph break in encoder, decoder or generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parallel_worker import LEARNING, STAGES, batches
from small_models import draw, generator_record, seeded, sftok_config
from small_training import Recorder, run
from torch import nn

from sftok.config import ConfigError
from sftok.generators.maskgit import MaskGITGenerator
from sftok.tokenizers.sftok import SFTok
from sftok.training import compiling
from sftok.training.compiling import compile_networks


def generator() -> MaskGITGenerator:
    return MaskGITGenerator.from_config(generator_record(dropout=0.1))


def block() -> tuple[nn.Module, tuple[Any, ...]]:
    first, tokens = generator().blocks[0], draw(2, 5, 16)
    return first, (tokens, first.draw(tokens, seeded()))


def ids(length: int) -> torch.Tensor:
    return torch.zeros(2, length, dtype=torch.long)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "encoder": lambda: (SFTok.from_config(sftok_config()).encoder, (draw(2, 3, 16, 16),)),
    "decoder": lambda: (SFTok.from_config(sftok_config()).decoder, (ids(16), draw(2, 4, 8))),
    "generator": lambda: (generator(), (ids(4), torch.zeros(2, dtype=torch.long))),
    "a generator's block with dropout": block,
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_there_is_no_graph_break(name: str, precision: str) -> None:
    network, inputs = NETWORKS[name]()
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = torch._dynamo.explain(network)(*inputs)
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


@pytest.mark.parametrize("name", ["warm-up", "alignment", "fine-tuning", "generator"])
def test_a_compiled_stage_learns_the_same_under_the_same_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PyTorch's own kernels; `tests/gpu` has the compiler's."""
    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: compile(self, backend="eager", dynamic=False))
    torch._dynamo.reset()
    lines, names = [], []
    for mode in ("none", "default"):
        stage, recorder = STAGES[name](), Recorder()
        run(stage, tmp_path / mode, recorder, 4, batches, LEARNING, compile=mode)  # type: ignore[arg-type]
        assert {each._compiled_call_impl is not None for each in stage.compiled} == {mode == "default"}
        lines.append(recorder.lines)
        names.append(list(stage.state_dict()))
        assert recorder.prepared == {"none": None, "default": "compiling"}[mode]
    assert lines[1] == lines[0]
    assert names[1] == names[0]


def test_a_gpu_without_the_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    with pytest.raises(ConfigError, match=r"compile = 'default'.*pip install triton, or set compile=none"):
        compile_networks(STAGES["warm-up"](), "default", torch.device("cuda"))


def test_every_mode_is_one_of_pytorchs() -> None:
    assert set(compiling._MODES.values()) <= set(torch._inductor.list_mode_options())
