from __future__ import annotations

import gzip
import hashlib
import io
import logging
import subprocess
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from sftok.data import DataConfig, DataError, fashion_mnist, load

FILES = tuple(fashion_mnist.CONTENT_SHA256)


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_files(folder: Path) -> None:
    """A tiny Fashion-MNIST: 40 training and 20 test images, image i filled with i, its label i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, size in (("train", 40), ("t10k", 20)):
        numbers = np.arange(size)
        images = np.broadcast_to(numbers[:, None, None], (size, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(numbers % 10)))


@pytest.fixture(autouse=True)
def no_system_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "usr" / "datasets")


@pytest.fixture
def no_fetching(monkeypatch):
    def fail(temporary):
        raise OSError("no way")

    monkeypatch.setattr(fashion_mnist, "_download", fail)
    monkeypatch.setattr(fashion_mnist, "_download_package", fail)


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder with the tiny files, whose checksums are made the right ones."""
    folder = tmp_path / "tiny"
    write_files(folder)
    sums = {name: hashlib.sha256(gzip.decompress((folder / name).read_bytes())).hexdigest() for name in FILES}
    monkeypatch.setattr(fashion_mnist, "CONTENT_SHA256", sums)
    return folder


def test_pixels_and_labels_stay_together(tiny):
    config = DataConfig(path=str(tiny), validation_images=10)
    sets = {split: load(config, split) for split in ("train", "validation", "test")}
    assert {split: len(image_set) for split, image_set in sets.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }
    seen: dict[str, set[int]] = {}
    for split, image_set in sets.items():
        everything = torch.arange(len(image_set))
        images = image_set.images(everything)
        assert images.shape == (len(image_set), 3, 28, 28)
        assert images.dtype == torch.uint8
        numbers = images[:, 0, 0, 0].long()
        assert torch.equal(images, numbers.to(torch.uint8)[:, None, None, None].expand_as(images))
        assert torch.equal(image_set.labels(everything), numbers % 10)
        assert image_set.name == f"fashion-mnist/{split}"
        assert image_set.num_classes == 10
        assert (image_set.class_names[0], image_set.class_names[9]) == ("T-shirt/top", "Ankle boot")
        seen[split] = set(numbers.tolist())
    assert seen["train"] | seen["validation"] == set(range(40))
    assert not seen["train"] & seen["validation"]


def test_fingerprints_differ_between_splits_and_repeat(tiny):
    configs = [DataConfig(path=str(tiny), validation_images=10, limit=limit) for limit in (None, 8)]
    prints = [
        load(config, split).fingerprint for config in configs for split in ("train", "validation", "test")
    ]
    assert len(set(prints)) == 6
    assert load(configs[0], "train").fingerprint == prints[0]


def test_another_size_is_refused(tiny):
    with pytest.raises(
        DataError, match=r"image_size = 32, but its images are 28x28; set data\.image_size = 28"
    ):
        load(DataConfig(path=str(tiny), image_size=32), "train")


def test_folders_are_tried_in_order(tiny, cache, monkeypatch, no_fetching, tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def found() -> Path:
        caplog.clear()
        folder = fashion_mnist.locate()
        assert len(caplog.records) == 1
        assert str(folder) in caplog.text
        return folder

    with pytest.raises(DataError, match="not downloadable"):
        fashion_mnist.locate()
    write_files(cache / "fashion-mnist")
    assert found() == cache / "fashion-mnist"
    write_files(fashion_mnist.DEBIAN_FOLDER)
    assert found() == fashion_mnist.DEBIAN_FOLDER
    write_files(tmp_path / "environment")
    monkeypatch.setenv("SFTOK_FASHION_MNIST", str(tmp_path / "environment"))
    assert found() == tmp_path / "environment"
    assert fashion_mnist.locate(str(tiny)) == tiny


def test_a_named_folder_must_be_right(tiny, tmp_path, monkeypatch):
    write_files(fashion_mnist.DEBIAN_FOLDER)
    (tiny / FILES[2]).unlink()
    with pytest.raises(DataError, match=f"no {FILES[2]} in .*tiny .the configured path."):
        fashion_mnist.locate(str(tiny))
    monkeypatch.setenv("SFTOK_FASHION_MNIST", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"no train-images.* in .*nowhere \(SFTOK_FASHION_MNIST\)"):
        fashion_mnist.locate()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-6] ^= 1  # in gzip's own checksum: in these repetitive images a flipped bit may change nothing
    file.write_bytes(content)


def replace_content(file: Path) -> None:
    file.write_bytes(gzip.compress(idx(np.zeros((3, 28, 28)))))


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_bit, replace_content, lambda file: file.write_bytes(b"")]
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_name(tiny, name, damage):
    damage(tiny / name)
    with pytest.raises(DataError, match=f"{name} is damaged .*; delete or replace it") as caught:
        load(DataConfig(path=str(tiny)), "train" if name.startswith("train") else "test")
    assert "\n" not in str(caught.value)


def test_a_damaged_system_file_is_refused_with_its_own_remedy(tiny):
    write_files(fashion_mnist.DEBIAN_FOLDER)
    truncate(fashion_mnist.DEBIAN_FOLDER / FILES[0])
    with pytest.raises(DataError, match=r"is damaged .*; reinstall Debian's package"):
        load(DataConfig(), "train")


def test_a_download_fills_the_cache(tiny, cache, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_download", lambda temporary: write_files(temporary) or temporary)
    assert len(load(DataConfig(), "train")) == 40
    assert sorted(file.name for file in (cache / "fashion-mnist").iterdir()) == sorted(FILES)
    monkeypatch.setattr(fashion_mnist, "_download", lambda temporary: pytest.fail("fetched again"))
    assert len(load(DataConfig(), "test")) == 20


def test_a_failed_or_damaged_download_leads_to_the_debian_package(tiny, cache, monkeypatch, caplog):
    def damaged(temporary):
        write_files(temporary)
        truncate(temporary / FILES[3])
        return temporary

    monkeypatch.setattr(fashion_mnist, "_download", damaged)
    monkeypatch.setattr(
        fashion_mnist, "_download_package", lambda temporary: write_files(temporary) or temporary
    )
    assert len(load(DataConfig(), "train")) == 40
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "cannot download it from http" in record.message
    assert FILES[3] in record.message


def test_if_nothing_works_one_line_says_what_to_do(cache, no_fetching):
    with pytest.raises(DataError) as caught:
        load(DataConfig(), "train")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("amazonaws.com: no way", "dataset-fashion-mnist", "SFTOK_FASHION_MNIST", str(cache)):
        assert part in message
    assert not list((cache / "fashion-mnist").iterdir())
    (cache / "fashion-mnist").rmdir()
    (cache / "fashion-mnist").write_text("a file in the way")
    with pytest.raises(DataError, match="not downloadable"):
        load(DataConfig(), "train")


def test_downloads_by_several_processes_leave_complete_files(tiny, cache, monkeypatch):
    together = threading.Barrier(4)

    def download(temporary):
        together.wait(timeout=10)
        write_files(temporary)
        return temporary

    monkeypatch.setattr(fashion_mnist, "_download", download)
    results = []
    threads = [threading.Thread(target=lambda: results.append(fashion_mnist.locate())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [cache / "fashion-mnist"] * 4
    assert sorted(file.name for file in (cache / "fashion-mnist").iterdir()) == sorted(FILES)
    assert len(load(DataConfig(), "train")) == 40


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("E: Unable to locate package dataset-fashion-mnist\n", r"no package lists, .* run 'apt-get update'"),
        ("E: Failed to fetch\n", "^apt-get: E: Failed to fetch$"),
    ],
)
def test_problems_of_apt_are_reported(tmp_path, monkeypatch, stderr, message):
    done = subprocess.CompletedProcess([], 100, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda command, **options: done)
    with pytest.raises(DataError, match=message):
        fashion_mnist._download_package(tmp_path)


def test_a_machine_without_apt_or_network_gets_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "SERVER", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"refused.*No such file or directory: 'apt-get'"):
        load(DataConfig(), "train")


def test_the_package_is_unpacked_without_root(tmp_path, monkeypatch):
    def run(command, cwd, **options):
        if command[0] == "apt-get":
            (cwd / "dataset-fashion-mnist_1_all.deb").touch()
        else:
            assert command[:2] == ("dpkg-deb", "-x")
            write_files(cwd / command[3] / fashion_mnist.DEBIAN_FOLDER.relative_to("/"))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert not fashion_mnist._missing(fashion_mnist._download_package(tmp_path))


def test_the_download_takes_each_file_from_the_server_with_a_timeout(tmp_path, monkeypatch):
    seen = []

    def urlopen(url, timeout):
        seen.append((url.rpartition("/")[2], timeout))
        return io.BytesIO(b"content")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert fashion_mnist._download(tmp_path) == tmp_path
    assert seen == [(name, fashion_mnist.TIMEOUT_SECONDS) for name in FILES]
    assert {(tmp_path / name).read_bytes() for name in FILES} == {b"content"}


def test_the_real_data_set(real_fashion_mnist):
    config = DataConfig(path=str(real_fashion_mnist), validation_images=5000)
    sets = {split: load(config, split) for split in ("train", "validation", "test")}
    for split, size in (("train", 55_000), ("validation", 5_000), ("test", 10_000)):
        labels = sets[split].labels(torch.arange(len(sets[split])))
        assert torch.equal(labels.bincount(), torch.full((10,), size // 10))
    images = sets["test"].images(torch.arange(10_000))
    assert images.shape == (10_000, 3, 28, 28)
    assert int(images[:, 0].sum()) == 573_469_082
