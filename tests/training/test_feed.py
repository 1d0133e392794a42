"""Batches come in order whether or not the training looks ahead, and a slow loader is reported once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import pytest
import torch
from small_training import Plain, batches

from sftok.data.batches import Batch
from sftok.device import CPU
from sftok.training import feed
from sftok.training.feed import Feed


class Sums(Plain):
    def ahead(self, batch: Batch) -> Mapping[str, torch.Tensor]:
        return {"sum": batch.images.sum()}


@pytest.mark.parametrize("looks", [True, False])
def test_batches_and_what_is_computed_of_them_come_in_order(looks: bool) -> None:
    found, expected = Feed(batches(3), 2, Sums(), CPU), batches(3)
    for _ in range(4):
        for batch, ahead in found.take():
            images = next(expected).images
            assert torch.equal(batch.images, images)
            assert torch.equal(ahead["sum"], images.sum())
        if looks:
            found.look_ahead()


@pytest.mark.parametrize(("loading", "working", "said"), [(4, 1, 1), (1, 20, 0)])
def test_a_loader_that_training_waits_for_is_reported_once(
    loading: int,
    working: int,
    said: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]

    def slow() -> Iterator[Batch]:
        for batch in batches(0):
            clock[0] += loading
            yield batch

    monkeypatch.setattr(feed, "WINDOW", 5)
    monkeypatch.setattr(feed.time, "perf_counter", lambda: clock[0])
    found = Feed(slow(), 1, Plain(), CPU)
    with caplog.at_level(logging.WARNING):
        for _ in range(15):
            found.take()
            clock[0] += working
            found.look_ahead()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == said
    assert all("the images are the bottleneck: 8" in message for message in messages)
