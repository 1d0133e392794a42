from __future__ import annotations

import dataclasses

import torch

from sftok.evaluation.bench import balanced


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
