"""The device is the requested one, or an error says what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sftok.device import DeviceError, open_device, require_device


def test_the_cpu_needs_nothing_and_a_missing_gpu_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_device("cpu")
    assert open_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device = 'cuda'.*--set device=cpu") as caught:
        open_device("cuda")
    assert "\n" not in str(caught.value)


@pytest.fixture
def rounding() -> Iterator[None]:
    """Restores the TF32 settings; PyTorch's cannot be deleted, as monkeypatch would."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("rounding")
@pytest.mark.parametrize("tf32", [True, False])
def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch, tf32: bool) -> None:
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert open_device("cuda", tf32=tf32, local_rank=3) == torch.device("cuda", 3)
    assert open_device("cuda", tf32=tf32, local_rank=6) == torch.device("cuda", 2)
    assert chosen == [torch.device("cuda", 3), torch.device("cuda", 2)]
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
