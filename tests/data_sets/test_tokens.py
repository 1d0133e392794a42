from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from small_models import image_set
from torch import Tensor

from sftok.config import ConfigError
from sftok.data import AugmentationConfig, ordered_batches, training_batches
from sftok.data.base import MemoryImageSet
from sftok.data.tokens import TokenCache, TokensOnTheFly, write_tokens
from sftok.io.weights import DamagedFileError, load_tensors

VIEWS = AugmentationConfig(flip=True, views=3)
PER_FILE = 10
IMAGES = image_set(23, 4)


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


def write(folder: Path, images: MemoryImageSet = IMAGES, **changes) -> Path:
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
def test_the_cache_returns_the_ids_of_the_encoder_on_the_device_of_the_images(tmp_path, augmentation):
    seen, views = [], augmentation.views if augmentation else 1
    write(tmp_path, augmentation=augmentation, on_progress=lambda *now: seen.append(now))
    assert len(list(tmp_path.glob("*.safetensors"))) == 3 * views
    assert seen[-1] == (23 * views, 23 * views)
    assert seen == sorted(seen)
    cache, computed = TokenCache(tmp_path, 23, 4, augmentation), TokensOnTheFly(LeftPixels())
    for batch in islice(training_batches(IMAGES, 7, seed=1, augmentation=augmentation), 12):
        found = cache(batch)
        assert found.dtype == torch.int64
        assert torch.equal(found, encode(batch.images))
        assert torch.equal(found, computed(batch))
        elsewhere = replace(batch, images=batch.images.to("meta"))
        assert cache(elsewhere).device.type == "meta"
    every_view = [
        encode(batch.images)
        for view in (range(views) if augmentation else (None,))
        for batch in ordered_batches(IMAGES, 8, augmentation=augmentation, view=view)
    ]
    assert torch.equal(cache.counts(), torch.cat(every_view).flatten().bincount(minlength=256))


@pytest.mark.parametrize(("size", "bytes_each"), [(256, 2), (1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_16_bits_if_they_fit(tmp_path, size, bytes_each):
    class Largest:
        num_tokens, codebook_size = 500, size

        def encode(self, batch: Tensor) -> Tensor:
            return torch.full((len(batch), 500), size - 1)

    first = write(tmp_path, encoder=Largest()) / "tokens-000-00000.safetensors"
    assert 0 < first.stat().st_size - PER_FILE * 500 * bytes_each < 1000
    assert int(TokenCache(tmp_path, 23, 500)(next(ordered_batches(IMAGES, 23))).min()) == size - 1


@pytest.mark.parametrize(("batches", "files", "images"), [(0, 0, 0), (1, 0, 0), (4, 1, 10), (8, 3, 23)])
def test_an_interrupted_run_computes_only_what_is_missing(tmp_path, batches, files, images):
    left, whole, folder = iter(range(batches)), tmp_path / "whole", tmp_path / "ids"
    whole.mkdir()
    folder.mkdir()
    write(whole, augmentation=VIEWS)

    def stop(batch: Tensor) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(folder, augmentation=VIEWS, encoder=LeftPixels(before=stop))
    with pytest.raises(DamagedFileError, match="not a complete cache of ids"):
        TokenCache(folder, 23, 4, VIEWS)
    assert len(list(folder.iterdir())) == files
    encoded: list[int] = []
    counting = LeftPixels(before=lambda batch: encoded.append(len(batch)))
    write(folder, augmentation=VIEWS, encoder=counting)
    assert sum(encoded) == 3 * 23 - images
    assert content(folder) == content(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/data_sets"]
import test_tokens as tests
from sftok.io import weights
save = weights.save_file
def dying(tensors, path, metadata):
    save(tensors, path, metadata=metadata)
    if "00001" in Path(path).name:
        os.truncate(path, 100)
        os.kill(os.getpid(), signal.SIGKILL)
weights.save_file = dying
tests.write(Path(sys.argv[2]))
"""


def test_a_run_killed_while_writing_resumes(tmp_path):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent.parent), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("tokens-*")] == ["tokens-000-00000.safetensors"]
    write(tmp_path)
    batch = next(ordered_batches(IMAGES, 23))
    assert torch.equal(TokenCache(tmp_path, 23, 4)(batch), encode(batch.images))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_and_repaired(tmp_path, damage):
    write(tmp_path)
    before, victim = content(tmp_path), tmp_path / "tokens-000-00001.safetensors"
    altered = bytearray(victim.read_bytes())
    altered[-3] ^= 1
    victim.write_bytes(altered if damage == "flip" else altered[:-3])
    if damage == "remove":
        victim.unlink()
    cache, (whole, hurt) = TokenCache(tmp_path, 23, 4), islice(ordered_batches(IMAGES, 10), 2)
    assert torch.equal(cache(whole), encode(whole.images))
    with pytest.raises(DamagedFileError, match=r"00001\.safetensors"):
        cache(hurt)
    write(tmp_path)
    assert content(tmp_path) == before


ONE_VIEW, TWO_VIEWS = (AugmentationConfig(flip=True, views=views) for views in (1, 2))


@pytest.mark.parametrize(
    "changes",
    [{"images": image_set(23, 4, seed=1)}, {"content": "another teacher"}, {"augmentation": ONE_VIEW}],
    ids=["images", "encoder", "views"],
)
def test_a_folder_with_other_ids_is_refused(tmp_path, changes):
    write(tmp_path, content="one teacher")
    with pytest.raises(DamagedFileError, match="other images, of another encoder, or of other views"):
        write(tmp_path, **({"content": "one teacher"} | changes))


@pytest.mark.parametrize("wrong", [(22, 4, VIEWS), (23, 5, VIEWS), (23, 4, None), (23, 4, TWO_VIEWS)])
def test_a_cache_of_something_else_is_refused(tmp_path, wrong):
    write(tmp_path, augmentation=VIEWS)
    with pytest.raises(DamagedFileError, match="holds"):
        TokenCache(tmp_path, *wrong)


@pytest.mark.parametrize(
    ("cached", "shown", "what"), [(VIEWS, None, "the center crop"), (None, VIEWS, "augmented views")]
)
def test_center_crops_and_views_are_not_taken_for_each_other(tmp_path, cached, shown, what):
    write(tmp_path, augmentation=cached)
    batch = next(training_batches(IMAGES, 4, seed=0, augmentation=shown))
    with pytest.raises(ValueError, match=f"was not computed from the images of the batch, {what}"):
        TokenCache(tmp_path, 23, 4, cached)(batch)


def test_views_without_end_and_ids_out_of_range_cannot_be_cached(tmp_path):
    with pytest.raises(ConfigError, match=r"augmentation\.views is not set"):
        write(tmp_path, augmentation=AugmentationConfig(flip=True))
    with pytest.raises(ValueError, match="not below the codebook size of 100"):
        write(tmp_path, encoder=LeftPixels(100))


def test_on_the_fly_is_in_full_precision_and_without_gradients():
    weight, seen = torch.eye(4, requires_grad=True), []

    class Matrix:
        num_tokens, codebook_size = 4, 2

        def encode(self, images: Tensor) -> Tensor:
            product = images[:, 0, :, 0] @ weight
            seen.append((product.dtype, product.requires_grad))
            return product.long()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        TokensOnTheFly(Matrix())(next(ordered_batches(IMAGES, 4)))
    assert seen == [(torch.float32, False)]


class Latents(LeftPixels):
    """In place of the ids, two latents of two channels."""

    num_tokens = 2

    def __init__(self) -> None:
        super().__init__(codebook_size=0)

    def encode(self, images: Tensor) -> Tensor:
        return images[:, 0, :, 0].unflatten(1, (2, 2)) - 0.3


def test_latents_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    cache = TokenCache(write(tmp_path, encoder=Latents()), len(IMAGES), 2)
    for batch in ordered_batches(IMAGES, 7):
        assert torch.equal(cache(batch), Latents().encode(batch.images))
    every = cache.spread(10**6)
    assert every.shape == (len(IMAGES), 2, 2)
    assert torch.equal(cache.spread(3), every[[0, 11, 22]]), "of all files, not of the first one"
