from __future__ import annotations

import dataclasses

import torch

from sftok.evaluation.config import GenerationEvaluationConfig
from sftok.evaluation.examples import balanced, example_labels, example_places
from sftok.evaluation.pixels import to_uint8


def test_examples_are_balanced_over_classes(images):
    shown = balanced(images, 16)
    counts = torch.bincount(images.targets[shown], minlength=4)
    assert counts.tolist() == [4, 4, 4, 4]
    # The first of each class, in the order of classes.
    assert images.targets[shown[:4]].tolist() == [0, 1, 2, 3]
    assert shown[0] == (images.targets == 0).nonzero()[0]


def test_rare_classes_and_small_sets_give_what_they_have(images):
    targets = torch.zeros_like(images.targets)
    targets[-1] = 3
    shown = balanced(dataclasses.replace(images, targets=targets), 5)
    assert shown.tolist() == [0, len(images) - 1, 1, 2, 3]
    small = dataclasses.replace(images, pixels=images.pixels[:3], targets=images.targets[:3])
    assert sorted(balanced(small, 16).tolist()) == [0, 1, 2]


def test_of_many_classes_some_are_shown_spread_evenly():
    config = GenerationEvaluationConfig(num_images=50_000, example_classes=10, examples_per_class=2)
    assert example_labels(config, 1000).tolist() == list(range(0, 1000, 100))
    assert example_places(config, 1000)[1].tolist() == list(range(1000, 2000, 100))
    assert example_labels(config, 4).tolist() == [0, 1, 2, 3]
    few = config.model_copy(update={"num_images": 3})
    assert example_places(few, 4).tolist() == [[0, 1, 2]], "only samples that exist"


def test_truncation_is_exact_on_pixels_and_otherwise_rounds_down():
    pixels = torch.arange(256).byte()
    assert torch.equal(to_uint8(pixels.float() / 255), pixels)
    assert torch.equal(to_uint8(pixels.float().div_(255)), pixels)
    assert to_uint8(torch.tensor([-0.1, 0.9999, 1.0, 1.2])).tolist() == [0, 254, 255, 255]
