"""Files of every kind, good and bad: read without running them, or refused in one line that names them."""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from small_models import Malicious

from sftok.checkpoints import CheckpointError
from sftok.checkpoints.files import read_file
from sftok.io.weights import save_tensors

TENSORS = {"a": torch.arange(6.0).view(2, 3), "offset": torch.tensor([3])}


def test_torch_safetensors_and_own_files_read_alike(tmp_path):
    torch.save(TENSORS, tmp_path / "new.bin")
    torch.save(TENSORS, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    save_file(TENSORS, tmp_path / "foreign.safetensors", {"config": "not ours"})
    save_tensors(tmp_path / "ours.safetensors", TENSORS, {"architecture": "sftok", "config": '{"x": 1}'})
    for name in ("new.bin", "old.bin", "foreign.safetensors", "ours.safetensors"):
        file = read_file(tmp_path / name)
        assert file.tensors.keys() == TENSORS.keys()
        assert all(torch.equal(file.tensors[key], TENSORS[key]) for key in TENSORS)
        assert file.saved == (("sftok", {"x": 1}) if name.startswith("ours") else None)


@pytest.mark.parametrize("name", ["weights.bin", "model.safetensors"])
@pytest.mark.parametrize("write", ["zip", "legacy", "pickle"])
def test_code_in_a_pickle_is_not_run(tmp_path, name, write):
    victim, path = tmp_path / "victim", tmp_path / name
    content = {"a": torch.zeros(2), "b": Malicious(victim)}
    if write == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "zip")
    with pytest.raises(CheckpointError, match=rf"{name}: a pickle .* refused, none of it was run") as refused:
        read_file(path)
    assert "\n" not in str(refused.value)
    assert not victim.exists()
    pickle.loads(pickle.dumps(Malicious(victim)))
    assert victim.exists()  # the code would have run


def test_a_pickled_module_is_one_plain_line_without_advice_to_trust_it(torch_file):
    with pytest.raises(CheckpointError) as refused:
        read_file(torch_file(torch.nn.Linear(2, 2)))
    said = str(refused.value)
    assert "torch.nn.modules.linear.Linear" in said
    assert said.isprintable()
    assert not any(word in said for word in ("trust", "weights_only", "add_safe_globals"))


@pytest.mark.parametrize("kind", ["zip", "legacy", "foreign", "ours"])
@pytest.mark.parametrize("keep", [0, 1, 9, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(tmp_path, kind, keep):
    path, tensors = tmp_path / "w.bin", {"a": torch.ones(300), "b": torch.ones(40)}
    write = {
        "zip": lambda: torch.save(tensors, path),
        "legacy": lambda: torch.save(tensors, path, _use_new_zipfile_serialization=False),
        "foreign": lambda: save_file(tensors, path),
        "ours": lambda: save_tensors(path, tensors),
    }
    write[kind]()
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"w\.bin") as refused:
        read_file(path)
    assert "\n" not in str(refused.value)


def test_an_altered_file_of_ours_is_refused(tmp_path):
    save_tensors(tmp_path / "w.safetensors", {"a": torch.ones(300)})
    content = bytearray((tmp_path / "w.safetensors").read_bytes())
    content[-7] ^= 1
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"does not match its checksum.*; get it again$"):
        read_file(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list, not tensors by name"),
        (torch.zeros(1), "holds a Tensor, not tensors by name"),
        ({"weights": {"a": torch.zeros(1)}}, "'weights' is not a plain tensor"),
        ({"a": torch.zeros(1), "epoch": 3}, "'epoch' is not a plain tensor"),
        ({3: torch.zeros(1)}, "'3' is not a plain tensor"),
        ({"a": torch.eye(2).to_sparse()}, "'a' is not a plain tensor"),
        ({}, "holds no tensors"),
    ],
)
def test_what_is_not_a_state_dict_is_refused(torch_file, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_file(torch_file(content))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "photo.bin").write_bytes(b"\xff\xd8\xff\xe0 not weights")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a torch file"):
        read_file(tmp_path / "photo.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_file(tmp_path / "absent.bin")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_converted_to_float32_with_a_warning(torch_file, caplog, dtype):
    tensors = {"a": torch.rand(3).to(dtype), "offset": torch.tensor([3])}
    with caplog.at_level(logging.WARNING):
        file = read_file(torch_file(tensors))
    assert file.tensors["a"].dtype == torch.float32
    assert torch.equal(file.tensors["a"], tensors["a"].float())
    assert file.tensors["offset"].dtype == torch.int64
    (record,) = caplog.records
    assert str(dtype).removeprefix("torch.") in record.getMessage()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_diverged_models_weights_are_refused(torch_file, wrong):
    with pytest.raises(CheckpointError, match=r"decoder\.weight holds NaN or infinite"):
        read_file(torch_file({"a": torch.zeros(2), "decoder.weight": torch.tensor([0.0, wrong])}))


def test_mixed_precisions_are_refused(torch_file):
    mixed = {"a": torch.zeros(1), "b": torch.zeros(1, dtype=torch.float16)}
    with pytest.raises(CheckpointError, match="mixed precisions: a is float32, b is float16"):
        read_file(torch_file(mixed))


def test_an_unusual_precision_is_refused(torch_file):
    with pytest.raises(CheckpointError, match="is float64; save it in float32"):
        read_file(torch_file({"a": torch.zeros(1, dtype=torch.float64)}))


def test_parameters_come_back_as_plain_tensors(torch_file):
    file = read_file(torch_file({"a": torch.nn.Parameter(torch.ones(2))}))
    assert not file.tensors["a"].requires_grad


def test_the_configuration_beside_the_weights(tmp_path):
    path, beside = tmp_path / "model.safetensors", tmp_path / "config.json"
    save_file(TENSORS, path)
    beside.write_text(json.dumps({"architecture": "sftok", "config": {"x": 2}}))
    assert read_file(path).saved == ("sftok", {"x": 2})
    beside.write_text(json.dumps({"model": {"vq_model": {}}}))  # another project's
    assert read_file(path).saved is None
    beside.write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: not a JSON object"):
        read_file(path)


def test_two_configurations_that_differ_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, TENSORS, {"architecture": "sftok", "config": '{"x": 1}'})
    (tmp_path / "config.json").write_text('{"architecture": "sftok", "config": {"x": 2}}')
    with pytest.raises(
        CheckpointError, match=r"is not the configuration that model\.safetensors was saved with"
    ):
        read_file(path)


@pytest.fixture
def sharded(tmp_path):
    """Two shards and their index, as Hugging Face writes them."""
    names = {"a": "model-00001-of-00002.safetensors", "offset": "model-00002-of-00002.safetensors"}
    for name, shard in names.items():
        save_file({name: TENSORS[name]}, tmp_path / shard)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    return index


def test_shards_are_read_by_their_index(sharded):
    file = read_file(sharded)
    assert file.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(file.tensors[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "model-00003-of-00003.safetensors"}, "its shard model-00003-of-00003.safetensors is missing"),
        ({"b": "model-00001-of-00002.safetensors"}, "b is not in its shard"),
        ({"a": "../elsewhere.safetensors"}, "is not the name of a file beside it"),
        ({"a": 3}, "is not the name of a file beside it"),
        ({}, "names no shards"),
        (None, "names no shards"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(sharded, weight_map, message):
    sharded.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=message):
        read_file(sharded)


def test_a_damaged_index_is_refused(sharded):
    sharded.write_bytes(sharded.read_bytes()[:30])
    with pytest.raises(CheckpointError, match=r"index\.json: not a JSON object"):
        read_file(sharded)


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        ({"state_dict": TENSORS, "epoch": 3, "optimizer_states": [{"step": 5}]}, "state_dict"),
        ({"model": TENSORS, "optimizer": {"state": {}, "param_groups": []}, "steps": 7}, "model"),
        ({"model": {"a": torch.zeros(2, 3), "offset": torch.zeros(1)}, "ema": TENSORS}, "ema"),
        ({"model": TENSORS, "args": argparse.Namespace(lr=1e-4, data="/images")}, "model"),
    ],
)
def test_a_training_checkpoint_gives_its_weights(torch_file, caplog, content, entry):
    caplog.set_level(logging.INFO)
    file = read_file(torch_file(content))
    assert file.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(file.tensors[key], TENSORS[key]) for key in TENSORS)
    assert f"reading its entry {entry!r}" in caplog.text


def test_an_entry_without_tensors_is_not_taken_for_weights(torch_file):
    with pytest.raises(CheckpointError, match="'model' is not a plain tensor"):
        read_file(torch_file({"model": {"name": "vqgan"}, "a": torch.zeros(2)}))


def test_code_in_a_training_checkpoint_is_not_run(tmp_path, torch_file):
    content = {"state_dict": TENSORS, "callbacks": Malicious(tmp_path / "victim")}
    with pytest.raises(CheckpointError, match="refused, none of it was run"):
        read_file(torch_file(content))
    assert not (tmp_path / "victim").exists()


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        self.register_buffer("levels", torch.tensor([8, 5]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(inputs) * self.levels[0]


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_torchscript_archive_gives_its_tensors(tmp_path, dtype):
    module = Scripted().to(dtype)
    torch.jit.trace(module, torch.zeros(1, 2, dtype=dtype)).save(tmp_path / "autoencoder.jit")
    file = read_file(tmp_path / "autoencoder.jit")
    expected = module.state_dict()
    assert file.tensors.keys() == expected.keys()
    for name, tensor in file.tensors.items():
        assert torch.equal(tensor, expected[name].to(tensor.dtype)), name


def test_compressed_tensors_are_refused_unread(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "plain.pt")
    packed = tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        read_file(packed)
