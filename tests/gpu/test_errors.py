"""What a device lacks is one clear line: memory, a number format, the device itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from making import artifact
from parallel_worker import LEARNING, STAGES, batches
from small_training import run

from experiments.executors.inline import note_failure
from experiments.store import Store
from sftok.config import ConfigError

pytestmark = pytest.mark.gpu


@pytest.fixture
def scarce(device: torch.device) -> Iterator[torch.device]:
    """A device that soon refuses memory."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(0.1, device)
    yield device
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@pytest.mark.stand_in
def test_out_of_memory_says_what_to_lower(tmp_path: Path, scarce: torch.device) -> None:
    store = Store(tmp_path)
    store.prepare()
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8, device=scarce)
    reason = note_failure(artifact("stage", label="alignment"), store, caught.value, first=True)
    assert reason.startswith("out of memory (no room for 1")
    assert "halve its batch_size and double its gradient_accumulation" in reason
    assert "\n" not in reason


def test_training_goes_on_after_an_allocation_that_failed(tmp_path: Path, scarce: torch.device) -> None:
    with pytest.raises(RuntimeError):
        torch.empty(2**50, dtype=torch.uint8, device=scarce)
    run(STAGES["warm-up"](), tmp_path, steps=2, source=batches, config=LEARNING, device=scarce)


@pytest.mark.stand_in
def test_a_number_format_that_the_gpu_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce GTX 1080")
    config = LEARNING.model_copy(update={"precision": "bf16"})
    with pytest.raises(ConfigError, match=r"'bf16': GeForce GTX 1080 .*choose fp16 or fp32"):
        run(STAGES["warm-up"](), tmp_path, source=batches, config=config, device=torch.device("cuda"))
