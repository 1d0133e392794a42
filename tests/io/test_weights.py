"""Tensor files: they round-trip, and a damaged one is refused by name."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sftok.io.weights import DamagedFileError, content_hash, load_tensors, save_tensors

TENSORS = {
    "scalar": torch.tensor(3.0),
    "half": torch.arange(4, dtype=torch.bfloat16),
    "ids": torch.tensor([[1, 2], [3, 4]]),
    "flags": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
}


def test_round_trip(tmp_path: Path) -> None:
    checksum = save_tensors(tmp_path / "a.safetensors", TENSORS, {"note": "x"})
    loaded, metadata = load_tensors(tmp_path / "a.safetensors")
    assert metadata == {"note": "x"}
    assert checksum == content_hash(loaded)
    assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_views_and_tensors_that_share_memory_are_stored_separately(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    given = {"whole": whole, "same": whole, "row": whole[1], "turned": whole.T}
    save_tensors(tmp_path / "a.safetensors", given)
    loaded, _ = load_tensors(tmp_path / "a.safetensors")
    assert loaded.keys() == given.keys()
    assert all(torch.equal(loaded[name], given[name]) for name in given)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, position: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.safetensors"
    save_tensors(path, TENSORS)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    # A flip in white space of the header changes nothing; every other one is named.
    with contextlib.suppress(DamagedFileError):
        loaded, metadata = load_tensors(path)
        assert metadata == {}
        assert content_hash(loaded) == content_hash(TENSORS)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match=r"a\.safetensors"):
        load_tensors(path)


def test_the_error_names_the_file_the_problem_and_the_remedy_also_in_another_process() -> None:
    error = pickle.loads(pickle.dumps(DamagedFileError(Path("a.safetensors"), "cut", "get it again")))
    assert str(error) == "a.safetensors: cut; get it again"
    assert (error.path, error.problem, error.remedy) == (Path("a.safetensors"), "cut", "get it again")


@pytest.mark.parametrize(
    ("save", "problem"), [(save_file, "no checksum"), (torch.save, "")], ids=["no checksum", "pickle"]
)
def test_a_file_of_another_program_is_refused(tmp_path: Path, save: Callable, problem: str) -> None:
    save(TENSORS, tmp_path / "foreign.safetensors")
    with pytest.raises(DamagedFileError, match=rf"foreign\.safetensors.*{problem}"):
        load_tensors(tmp_path / "foreign.safetensors")
