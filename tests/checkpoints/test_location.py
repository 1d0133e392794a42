from __future__ import annotations

import json
import sys

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from sftok.checkpoints import CheckpointError
from sftok.checkpoints.location import locate


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose files are those in a folder."""
    asked = []

    def hf_hub_download(repository, name):
        asked.append((repository, name))
        path = tmp_path / repository / name
        if not path.exists():
            raise EntryNotFoundError(f"404: no {name}")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return asked


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_file_is_itself(tmp_path):
    touch(tmp_path / "weights.pt")
    assert locate(str(tmp_path / "weights.pt")) == tmp_path / "weights.pt"


def test_a_folder_holds_the_usual_file_or_one_only(tmp_path):
    with pytest.raises(CheckpointError, match="holds no weight file"):
        locate(str(tmp_path))
    touch(tmp_path / "ema.bin")
    assert locate(str(tmp_path)).name == "ema.bin"
    touch(tmp_path / "other.bin")
    with pytest.raises(CheckpointError, match=r"2 weight files \(ema\.bin, other\.bin\); name one"):
        locate(str(tmp_path))
    touch(tmp_path / "a.safetensors")
    assert locate(str(tmp_path)).name == "a.safetensors"
    for name in (
        "part.safetensors.index.json",
        "pytorch_model.bin.index.json",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "model.safetensors",
    ):
        touch(tmp_path / name)
        assert locate(str(tmp_path)).name == name


@pytest.mark.parametrize(
    "reference", ["absent.bin", "./org/name", "/absent/file", "a b/c", "~nobody-of-that-name/x"]
)
def test_what_cannot_be_a_hub_id_is_missing(monkeypatch, tmp_path, hub, reference):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no such file or folder$"):
        locate(reference)
    assert hub == []


def test_a_local_path_wins_over_the_hub(monkeypatch, tmp_path, hub):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "org" / "name" / "model.safetensors")
    assert locate("org/name").name == "model.safetensors"
    assert hub == []


def test_a_hub_id_is_fetched_with_its_configuration(tmp_path, hub):
    folder = tmp_path / "org" / "name"
    touch(folder / "pytorch_model.bin")
    assert locate("org/name") == folder / "pytorch_model.bin"
    index = "model.safetensors.index.json"
    wanted = ["model.safetensors", index, "pytorch_model.bin", "config.json"]
    assert hub == [("org/name", name) for name in wanted]
    touch(folder / "maskgit.bin")
    assert locate("org/name/maskgit.bin") == folder / "maskgit.bin"
    with pytest.raises(CheckpointError, match=r"has no absent\.bin on the Hugging Face hub"):
        locate("org/name/absent.bin")


def test_an_index_on_the_hub_brings_its_shards(tmp_path, hub):
    folder = tmp_path / "org" / "name"
    index = folder / "model.safetensors.index.json"
    touch(index, folder / "b.safetensors", folder / "sub" / "b.safetensors")
    index.write_text(json.dumps({"weight_map": {"x": "b.safetensors", "y": "b.safetensors"}}))
    assert locate("org/name") == index
    assert hub[-1] == ("org/name", "b.safetensors")
    (folder / "sub" / index.name).write_text(index.read_text())
    assert locate(f"org/name/sub/{index.name}") == folder / "sub" / index.name
    assert hub[-1] == ("org/name", "sub/b.safetensors")


@pytest.mark.parametrize("reference", ["org/name", "org/name/pytorch_model.bin"])
def test_offline_the_cache_is_enough(monkeypatch, tmp_path, reference):
    weights = tmp_path / "pytorch_model.bin"
    touch(weights)

    def hf_hub_download(repository, name):
        if name == weights.name:
            return str(weights)
        raise LocalEntryNotFoundError(f"offline, and {name} is not in the cache")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    assert locate(reference) == weights


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("offline"), ConnectionError("no route"), OSError()]
)
def test_offline_says_what_to_fetch(monkeypatch, error):
    def hf_hub_download(repository, name):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    with pytest.raises(
        CheckpointError, match=r"download model\.safetensors .* of org/name by hand"
    ) as refused:
        locate("org/name")
    assert "no such file or folder" in str(refused.value)


def test_the_hub_package_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="needs the package huggingface_hub; install it, or download"):
        locate("org/name")
