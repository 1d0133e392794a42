from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sftok.data import DataError, ordered_batches, training_batches
from sftok.data.base import MemoryImageSet
from sftok.data.batches import epoch_order


def numbered_set(size: int) -> MemoryImageSet:
    pixels = torch.arange(size, dtype=torch.int64).remainder(256).to(torch.uint8)
    return MemoryImageSet(
        name="numbered",
        class_names=("even", "odd"),
        pixels=pixels.reshape(size, 1, 1, 1).expand(size, 3, 2, 2),
        targets=torch.arange(size) % 2,
    )


sizes = st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))
seeds = st.integers(0, 2**63 - 1)


@given(sizes, seeds, st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_an_epoch_never_repeats_and_drops_only_the_incomplete_batch(shape, seed, epoch):
    size, batch_size = shape
    steps = size // batch_size
    batches = list(islice(training_batches(numbered_set(size), batch_size, seed, epoch * steps), steps))
    seen = torch.cat([batch.indices for batch in batches]).tolist()
    assert all(len(batch.indices) == batch_size for batch in batches)
    assert len(set(seen)) == len(seen) == size - size % batch_size
    assert set(seen) <= set(range(size))


@given(sizes, seeds, st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_resuming_equals_continuing(shape, seed, step):
    size, batch_size = shape
    image_set = numbered_set(size)
    continued = list(islice(training_batches(image_set, batch_size, seed), step, step + 3))
    resumed = list(islice(training_batches(image_set, batch_size, seed, step), 3))
    for first, second in zip(continued, resumed, strict=True):
        assert torch.equal(first.indices, second.indices)
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.labels, second.labels)


def test_seeds_and_epochs_differ_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    orders = {tuple(epoch_order(20, seed, epoch).tolist()) for seed in (0, 1, 2**40) for epoch in range(5)}
    assert len(orders) == 15
    assert torch.equal(torch.get_rng_state(), before)


def test_the_epoch_order_never_changes():
    assert epoch_order(8, seed=0, epoch=0).tolist() == [5, 4, 2, 0, 6, 7, 3, 1]


def test_a_batch_is_float_in_the_unit_range_and_its_parts_match():
    image_set = numbered_set(256)
    batch = next(training_batches(image_set, 256, seed=3))
    assert batch.images.shape == (256, 3, 2, 2)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous()
    assert (float(batch.images.min()), float(batch.images.max())) == (0.0, 1.0)
    assert torch.equal((batch.images[:, 0, 0, 0] * 255).round().long(), batch.indices)
    assert torch.equal(batch.labels, batch.indices % 2)
    assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (99, [10])])
def test_ordered_batches_are_one_pass_in_order(batch_size, sizes):
    batches = list(ordered_batches(numbered_set(10), batch_size))
    assert [len(batch.images) for batch in batches] == sizes
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (lambda s: training_batches(s, 4, seed=0), "batch_size = 4 is more than its 3 images; use a smaller"),
        (lambda s: training_batches(s, 0, seed=0), "batch_size = 0"),
        (lambda s: ordered_batches(s, 0), "batch_size = 0"),
    ],
)
def test_a_batch_that_is_empty_or_too_large_is_an_error_at_the_call(stream, message):
    with pytest.raises(DataError, match=message):
        stream(numbered_set(3))


def test_a_read_error_is_raised_and_the_stream_can_be_closed():
    class Failing(MemoryImageSet):
        def images(self, indices):
            raise DataError("the disk is gone")

    source = numbered_set(4)
    failing = Failing(name="f", class_names=("a",), pixels=source.pixels, targets=source.targets)
    with pytest.raises(DataError, match="the disk is gone"):
        next(training_batches(failing, 2, seed=0))
    stream = training_batches(source, 2, seed=0)
    next(stream)
    stream.close()
