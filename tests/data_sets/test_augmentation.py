from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms.functional import crop as torchvision_crop
from torchvision.transforms.functional import resize

from sftok.data import AugmentationConfig, DataConfig, load, ordered_batches, training_batches
from sftok.data.base import MemoryImageSet
from sftok.data.transforms import Crop, resize_and_crop, resize_short_side
from sftok.distributed import World


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def gradient_set(size: int = 12) -> MemoryImageSet:
    row = torch.arange(4, dtype=torch.uint8)
    pixels = row.expand(size, 1, 4, 4) + torch.arange(size, dtype=torch.uint8).reshape(size, 1, 1, 1) * 10
    return MemoryImageSet(
        name="gradient", class_names=("a", "b"), pixels=pixels, targets=torch.arange(size) % 2
    )


FLIPS = AugmentationConfig(flip=True)
VIEWS = AugmentationConfig(random_crop=True, flip=True, views=3)


def test_the_default_is_only_the_center_crop():
    config = AugmentationConfig()
    assert not config.active
    assert config.crops(torch.arange(3), view=5) == [Crop()] * 3
    image_set = gradient_set()
    plain = islice(training_batches(image_set, 4, seed=1), 5)
    augmented = islice(training_batches(image_set, 4, seed=1, augmentation=config), 5)
    for first, second in zip(plain, augmented, strict=True):
        assert torch.equal(first.images, second.images)
        assert first.views is None
        assert second.views is None


def test_views_that_would_all_be_equal_are_refused():
    with pytest.raises(ValidationError, match="views = 2, but all would be the same"):
        AugmentationConfig(views=2)
    assert AugmentationConfig(views=1).view_of(7) == 0


@given(st.integers(-(2**40), 2**40), st.integers(0, 10**6), st.integers(0, 2 * 10**6))
@settings(max_examples=30, deadline=None)
def test_a_view_is_a_function_of_seed_number_and_index(seed, view, index):
    config = AugmentationConfig(random_crop=True, flip=True, seed=seed)
    (alone,) = config.crops(torch.tensor([index]), view)
    assert config.crops(torch.tensor([index + 1, index, 0]), view)[1] == alone
    assert 0 <= alone.across < 1
    assert 0 <= alone.down < 1


def test_views_never_change():
    first = VIEWS.crops(torch.tensor([7]), view=2)[0]
    assert first == Crop(across=pytest.approx(0.758700920455), down=pytest.approx(0.870090285766))


def test_views_differ_and_are_spread_evenly():
    config = AugmentationConfig(random_crop=True, flip=True)
    crops = [crop for view in range(4) for crop in config.crops(torch.arange(500), view)]
    assert len(set(crops)) == 2000
    assert len({*config.crops(torch.arange(50), 0), *VIEWS.crops(torch.arange(50), 0)}) == 50
    assert np.mean([crop.across for crop in crops]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([crop.down for crop in crops]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([crop.mirrored for crop in crops]) == pytest.approx(0.5, abs=0.04)
    assert abs(np.corrcoef([crop.across for crop in crops], [crop.down for crop in crops])[0, 1]) < 0.08


def test_flip_and_crop_are_independent_options():
    assert {(crop.across, crop.down) for crop in FLIPS.crops(torch.arange(20), 0)} == {(None, None)}
    crops = AugmentationConfig(random_crop=True).crops(torch.arange(20), 0)
    assert not any(crop.mirrored for crop in crops)


@pytest.mark.parametrize(("width", "height"), [(50, 37), (37, 50), (40, 40), (16, 90), (9, 8)])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.99999])
def test_a_crop_equals_that_of_torchvision(width, height, place):
    image, size = noise(width, height), 16
    whole = resize_short_side(image, size)
    slack = max(whole.size) - size
    start = min(int(place * (slack + 1)), slack)
    left, top = (start, 0) if width > height else (0, start)
    expected = np.array(torchvision_crop(whole, top, left, size, size))
    found = np.array(resize_and_crop(image, size, Crop(across=place, down=place)))
    assert np.array_equal(found, expected)
    mirrored = resize_and_crop(image, size, Crop(across=place, down=place, mirrored=True))
    assert np.array_equal(np.array(mirrored), expected[:, ::-1])


@pytest.mark.parametrize("crop", [Crop(), Crop(0.2, 0.9), Crop(0.999, 0.0, mirrored=True)])
@pytest.mark.parametrize(("width", "height"), [(50, 37), (37, 51), (16, 90), (9, 8)])
def test_a_crop_of_the_resized_image_equals_that_of_the_image(width, height, crop):
    image = noise(width, height)
    assert resize_short_side(image, 16).size == resize(image, 16).size
    direct = np.array(resize_and_crop(image, 16, crop))
    assert np.array_equal(np.array(resize_and_crop(resize_short_side(image, 16), 16, crop)), direct)


@given(st.integers(0, 40), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_resuming_equals_continuing_with_views(step, seed):
    image_set = gradient_set()
    for config in (FLIPS, VIEWS):
        continued = islice(training_batches(image_set, 5, seed, augmentation=config), step, step + 3)
        resumed = islice(training_batches(image_set, 5, seed, step, augmentation=config), 3)
        for first, second in zip(continued, resumed, strict=True):
            assert torch.equal(first.indices, second.indices)
            assert torch.equal(first.views, second.views)
            assert torch.equal(first.images, second.images)


def test_an_epoch_shows_one_view_of_every_image():
    image_set = gradient_set()
    batches = list(islice(training_batches(image_set, 4, seed=0, augmentation=VIEWS), 3 * 7))
    for epoch in range(7):
        part = batches[3 * epoch : 3 * epoch + 3]
        assert torch.cat([batch.views for batch in part]).unique().tolist() == [epoch % 3]
        assert sorted(torch.cat([batch.indices for batch in part]).tolist()) == list(range(12))
    fresh = next(training_batches(image_set, 4, 0, start_step=3 * 7, augmentation=FLIPS))
    assert fresh.views.tolist() == [7] * 4


def test_the_seed_of_a_run_reorders_the_views_but_does_not_change_them():
    image_set = gradient_set()
    shown = []
    for seed in (0, 1):
        batch = next(training_batches(image_set, 12, seed, augmentation=VIEWS))
        shown.append(batch.images[batch.indices.argsort()])
    assert torch.equal(*shown)


def test_ranks_share_a_batch_and_its_view():
    image_set = gradient_set()
    whole = next(training_batches(image_set, 6, 0, 3, VIEWS))
    worlds = (World(rank=rank, size=2) for rank in range(2))
    shares = [next(training_batches(image_set, 6, 0, 3, VIEWS, world)) for world in worlds]
    for part in ("images", "indices", "views"):
        assert torch.equal(torch.cat([getattr(share, part) for share in shares]), getattr(whole, part))


def test_flipping_grey_pixels_in_memory():
    image_set = gradient_set()
    crops = FLIPS.crops(torch.arange(12), 0)
    before = image_set.pixels.clone()
    for image, crop, plain in zip(
        image_set.views(torch.arange(12), crops), crops, image_set.images(torch.arange(12)), strict=True
    ):
        assert torch.equal(image, plain.flip(2) if crop.mirrored else plain)
    assert torch.equal(image_set.pixels, before)
    assert {crop.mirrored for crop in crops} == {True, False}


def test_views_of_files_are_those_of_the_crops_in_training_and_in_order(plain_folder):
    image_set = load(DataConfig(source="folder", path=str(plain_folder), image_size=6), "train")
    ordered = {
        view: torch.cat([b.images for b in ordered_batches(image_set, 4, augmentation=VIEWS, view=view)])
        for view in range(3)
    }
    assert not torch.equal(ordered[0], ordered[1])
    for batch in islice(training_batches(image_set, 5, seed=3, augmentation=VIEWS), 9):
        expected = torch.stack(
            [ordered[view][index] for view, index in zip(batch.views.tolist(), batch.indices, strict=True)]
        )
        assert torch.equal(batch.images, expected)


def test_ordered_batches_of_a_part():
    image_set = gradient_set()
    batches = list(ordered_batches(image_set, 3, places=range(2, 9)))
    assert [batch.indices.tolist() for batch in batches] == [[2, 3, 4], [5, 6, 7], [8]]
    last = (batches[2].images * 255).round().to(torch.uint8)
    assert torch.equal(last, image_set.images(torch.tensor([8])))
