from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sftok.data import DataConfig, DataError
from sftok.data.splits import balanced_order, selection

label_lists = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(torch.tensor)


@given(label_lists)
def test_order_is_a_permutation_that_begins_with_every_class(labels):
    order = balanced_order(labels)
    assert sorted(order.tolist()) == list(range(len(labels)))
    classes = len(labels.unique())
    assert len(labels[order[:classes]].unique()) == classes


@given(st.lists(st.integers(1, 80), min_size=2, max_size=7))
def test_every_suffix_holds_each_class_in_proportion(sizes):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = balanced_order(labels)
    for label, size in enumerate(sizes):
        # Of each suffix, from the whole to nothing.
        found = (labels[order] == label).flip(0).cumsum(0)
        expected = torch.arange(1, len(labels) + 1) * size / len(labels)
        assert (found - expected).abs().max() < 2 + size / len(labels) * len(sizes)


def test_the_order_never_changes():
    assert balanced_order(torch.tensor([0, 0, 0, 1, 1, 2])).tolist() == [5, 2, 4, 0, 3, 1]


def test_order_does_not_depend_on_the_global_generator():
    labels = torch.arange(50) % 3
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = balanced_order(labels)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(balanced_order(labels), first)


@given(label_lists, st.data())
def test_train_and_validation_divide_the_training_images(labels, data):
    count = data.draw(st.integers(0, len(labels) - 1))
    config = DataConfig(validation_images=count)
    train = selection(config, "train")(labels).tolist()
    validation = selection(config, "validation")(labels).tolist() if count else []
    assert len(validation) == count
    assert sorted(train + validation) == list(range(len(labels)))


def test_limit_is_a_prefix_and_moves_no_image_between_splits():
    labels = torch.arange(100) % 5
    for split in ("train", "validation", "test"):
        whole = selection(DataConfig(validation_images=20), split)(labels)
        for limit in (1, 5, 12, 1000):
            part = selection(DataConfig(validation_images=20, limit=limit), split)(labels)
            assert part.tolist() == whole[:limit].tolist()
            assert len(labels[part].unique()) == min(limit, 5)


@given(st.permutations([0] * 60 + [1] * 12 + [2] * 12))
def test_few_validation_images_are_of_every_class_however_rare(classes):
    labels = torch.tensor(classes)
    few = selection(DataConfig(validation_images=40, limit=3), "validation")(labels)
    assert labels[few].sort().values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("images", "split", "message"),
    [
        (0, "validation", "validation_images = 0"),
        (4, "train", "validation_images = 4 leaves none of the 4 training images.*lower"),
        (4, "validation", "validation_images = 4 leaves none of the 4 training images.*lower"),
    ],
)
def test_a_split_without_images_is_an_error(images, split, message):
    with pytest.raises(DataError, match=message):
        selection(DataConfig(validation_images=images), split)(torch.zeros(4, dtype=torch.int64))
