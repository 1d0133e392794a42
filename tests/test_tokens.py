from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sftok.config import ConfigError
from sftok.data import AugmentationConfig, ordered_batches, training_batches
from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch
from sftok.tokens import TokenCache, TokensOnTheFly, write_tokens
from sftok.weights import DamagedFileError, load_tensors

VIEWS = AugmentationConfig(flip=True, views=3)
PER_FILE = 10


def make_images(size: int = 23, seed: int = 0) -> MemoryImageSet:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return MemoryImageSet(name="noise", class_names=("a", "b"), pixels=pixels, targets=torch.arange(size) % 2)


class LeftPixels:
    """Four ids: the left pixels of the first channel, which tell images and views apart."""

    num_tokens = 4

    def __init__(self, codebook_size: int = 256, before: Callable[[Tensor], object] = len):
        """`before` is called with each batch."""
        self.codebook_size, self.before = codebook_size, before

    def encode(self, images: Tensor) -> Tensor:
        self.before(images)
        return (images[:, 0, :, 0] * 255).round().long()


encode = LeftPixels().encode


def write(folder: Path, images: MemoryImageSet, **changes) -> Path:
    options = {"encoder": LeftPixels(), "batch_size": 4, "images_per_file": PER_FILE, **changes}
    return write_tokens(image_set=images, folder=folder, **options)


def content(folder: Path) -> dict[str, object]:
    """The files of `folder`; tensor files by content, as safetensors does not fix the order of metadata."""
    found: dict[str, object] = {}
    for path in folder.iterdir():
        if path.suffix == ".safetensors":
            tensors, metadata = load_tensors(path)
            found[path.name] = tensors["ids"].numpy().tolist(), metadata
        else:
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.parametrize("augmentation", [None, VIEWS, AugmentationConfig(flip=True, views=1)])
def test_the_cache_returns_the_ids_of_the_encoder(tmp_path, augmentation):
    images, seen = make_images(), []
    write(tmp_path, images, augmentation=augmentation, on_progress=lambda *now: seen.append(now))
    views = augmentation.views if augmentation else 1
    assert len(list(tmp_path.glob("*.safetensors"))) == 3 * views
    assert seen[-1] == (23 * views, 23 * views)
    assert seen == sorted(seen)
    cache, computed = TokenCache(tmp_path, 23, 4, augmentation), TokensOnTheFly(LeftPixels())
    for batch in islice(training_batches(images, 7, seed=1, augmentation=augmentation), 12):
        found = cache(batch)
        assert found.dtype == torch.int64
        assert torch.equal(found, encode(batch.images))
        assert torch.equal(found, computed(batch))


@pytest.mark.parametrize(("size", "bytes_each"), [(256, 2), (1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_16_bits_if_they_fit(tmp_path, size, bytes_each):
    class Largest:
        num_tokens, codebook_size = 500, size

        def encode(self, batch: Tensor) -> Tensor:
            return torch.full((len(batch), 500), size - 1)

    images = make_images()
    write(tmp_path, images, encoder=Largest())
    first = tmp_path / "tokens-000-00000.safetensors"
    assert 0 < first.stat().st_size - PER_FILE * 500 * bytes_each < 1000
    cache = TokenCache(tmp_path, 23, 500)
    assert int(cache(next(ordered_batches(images, 23))).min()) == size - 1


def test_counts_are_of_all_views(tmp_path):
    images = make_images()
    write(tmp_path, images, augmentation=VIEWS)
    ids = [
        encode(batch.images)
        for view in range(3)
        for batch in ordered_batches(images, 8, augmentation=VIEWS, view=view)
    ]
    counts = TokenCache(tmp_path, 23, 4, VIEWS).counts()
    assert torch.equal(counts, torch.cat(ids).flatten().bincount(minlength=256))


@pytest.mark.parametrize("batches", [0, 1, 4, 8])
def test_an_interrupted_run_computes_only_what_is_missing(tmp_path, batches):
    images, whole, folder = make_images(), tmp_path / "whole", tmp_path / "ids"
    for path in (whole, folder):
        path.mkdir()
    write(whole, images, augmentation=VIEWS)
    left = iter(range(batches))

    def stop(batch: Tensor) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(folder, images, augmentation=VIEWS, encoder=LeftPixels(before=stop))
    with pytest.raises(DamagedFileError, match="not a complete cache of ids"):
        TokenCache(folder, 23, 4, VIEWS)
    done = len(list(folder.iterdir()))
    assert done == {0: 0, 1: 0, 4: 1, 8: 3}[batches]
    encoded: list[int] = []
    counting = LeftPixels(before=lambda batch: encoded.append(len(batch)))
    write(folder, images, augmentation=VIEWS, encoder=counting)
    assert sum(encoded) == 3 * 23 - {0: 0, 1: 10, 3: 23}[done]
    assert content(folder) == content(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_tokens as tests
from sftok import tokens, weights
save = weights.save_file
def dying(tensors, path, metadata):
    save(tensors, path, metadata=metadata)
    if "00001" in Path(path).name:
        os.truncate(path, 100)
        os.kill(os.getpid(), signal.SIGKILL)
weights.save_file = dying
tests.write(Path(sys.argv[2]), tests.make_images())
"""


def test_a_run_killed_while_writing_resumes(tmp_path):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("tokens-*")] == ["tokens-000-00000.safetensors"]
    images = make_images()
    write(tmp_path, images)
    batch = next(ordered_batches(images, 23))
    assert torch.equal(TokenCache(tmp_path, 23, 4)(batch), encode(batch.images))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_and_repaired(tmp_path, damage, caplog):
    images = make_images()
    write(tmp_path, images)
    before = content(tmp_path)
    victim = tmp_path / "tokens-000-00001.safetensors"
    if damage == "remove":
        victim.unlink()
    else:
        altered = bytearray(victim.read_bytes())
        altered[-3] ^= 1
        victim.write_bytes(altered if damage == "flip" else altered[:-3])
    cache = TokenCache(tmp_path, 23, 4)
    whole, hurt = islice(ordered_batches(images, 10), 2)
    assert torch.equal(cache(whole), encode(whole.images))
    with pytest.raises(DamagedFileError, match=r"00001\.safetensors"):
        cache(hurt)
    with caplog.at_level(logging.WARNING):
        write(tmp_path, images)
    assert content(tmp_path) == before


def test_a_folder_with_other_ids_is_refused(tmp_path):
    write(tmp_path, make_images(), content="one teacher")
    for images, changes in (
        (make_images(seed=1), {"content": "one teacher"}),
        (make_images(), {"content": "another"}),
        (make_images(), {"content": "one teacher", "augmentation": AugmentationConfig(flip=True, views=1)}),
    ):
        with pytest.raises(DamagedFileError, match="other images, of another encoder, or of other views"):
            write(tmp_path, images, **changes)


def test_a_cache_of_something_else_is_refused(tmp_path):
    images = make_images()
    write(tmp_path, images, augmentation=VIEWS)
    for wrong in (
        (22, 4, VIEWS),
        (23, 5, VIEWS),
        (23, 4, None),
        (23, 4, AugmentationConfig(flip=True, views=2)),
    ):
        with pytest.raises(DamagedFileError, match="holds"):
            TokenCache(tmp_path, *wrong)
    with pytest.raises(ValueError, match="was not computed from what the batch shows, the center crop"):
        TokenCache(tmp_path, 23, 4, VIEWS)(next(ordered_batches(images, 4)))


def test_center_crops_are_not_taken_for_views(tmp_path):
    images = make_images()
    write(tmp_path, images)
    batch = next(training_batches(images, 4, seed=0, augmentation=VIEWS))
    with pytest.raises(ValueError, match="was not computed from what the batch shows, augmented views"):
        TokenCache(tmp_path, 23, 4)(batch)


def test_views_without_end_cannot_be_cached(tmp_path):
    with pytest.raises(ConfigError, match=r"augmentation\.views is not set"):
        write(tmp_path, make_images(), augmentation=AugmentationConfig(flip=True))


def test_an_id_out_of_range_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="not below the codebook size of 100"):
        write(tmp_path, make_images(), encoder=LeftPixels(100))


def test_on_the_fly_is_in_full_precision_and_without_gradients():
    weight = torch.eye(4, requires_grad=True)
    seen = []

    class Matrix:
        num_tokens, codebook_size = 4, 2

        def encode(self, images: Tensor) -> Tensor:
            product = images[:, 0, :, 0] @ weight
            seen.append((product.dtype, product.requires_grad))
            return product.long()

    batch = next(ordered_batches(make_images(), 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        TokensOnTheFly(Matrix())(batch)
    assert seen == [(torch.float32, False)]


def test_ids_are_on_the_device_of_the_images(tmp_path):
    write(tmp_path, make_images())
    batch = Batch(torch.empty(2, 3, 4, 4, device="meta"), torch.zeros(2), torch.tensor([3, 1]))
    assert TokenCache(tmp_path, 23, 4)(batch).device.type == "meta"
