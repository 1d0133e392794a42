"""Galleries: which picture stands where, and what a difference map shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from experiments.registry import discover
from experiments.spec import Experiment
from reports.galleries import BRIGHTER, difference, gallery_sets, not_shown
from reports.strips import Strip

if TYPE_CHECKING:
    from conftest import FakeStore

SPECS = discover(("experiments.paper",))


def trained(name: str) -> Experiment:
    """The figure with its trained rows alone, as the made-up runs have no others."""
    return SPECS[name].model_copy(update={"rows": SPECS[name].trained_rows})


def pixels(strip: Strip) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(strip.uri.partition(",")[2]))) as image:
        return np.asarray(image)


def test_a_difference_is_absolute_brightened_and_cut_off() -> None:
    left = np.full((1, 3, 2, 2), 10, np.uint8)
    right = np.full((1, 3, 2, 2), 30, np.uint8)
    assert (difference(left, right) == BRIGHTER * 20).all()
    assert (difference(right, left) == BRIGHTER * 20).all()
    assert (difference(left, left) == 0).all()
    assert (difference(np.zeros_like(left), np.full_like(left, 255)) == 255).all()
    with pytest.raises(ValueError, match="cannot subtract"):
        difference(left, left[:, :, :1])


def test_systems_stand_one_below_the_other_over_what_they_get_wrong(fake_store: FakeStore) -> None:
    (found,) = gallery_sets(fake_store.run(trained("figure5")))
    names = [strip.name.partition(" (")[0] for strip in found.strips]
    assert names[:3] == ["original", "TiTok-B, T=1", "difference"]
    assert names.count("difference") == 4
    assert names[-2] == "SFTok-L, T=8"
    expected = np.abs(pixels(found.strips[0]).astype(int) - pixels(found.strips[1]).astype(int))
    assert (pixels(found.strips[2]) == np.minimum(BRIGHTER * expected, 255)).all()


def test_every_number_of_steps_and_what_they_change(fake_store: FakeStore) -> None:
    sets = gallery_sets(fake_store.run(trained("figure7")))
    assert [found.label.partition(": ")[2] for found in sets] == [
        "reconstructions at different steps: SFVR + warm-up",
        "reconstructions at different steps: Vanilla",
    ]
    names = [strip.name.partition(" (")[0] for strip in sets[0].strips]
    steps = (1, 2, 4, 8, 16)
    assert names == [
        "original",
        *(f"T={step}" for step in steps),
        *(f"T={step} − original" for step in steps),
        "T=1 − T=16",
    ]


def test_a_line_for_each_class(fake_store: FakeStore) -> None:
    (found,) = gallery_sets(fake_store.run(trained("figure15")))
    assert [strip.name for strip in found.strips][:2] == ["T-shirt", "Trouser"]
    assert found.columns == ("original", "SFTok-B", "SFTok-L")
    assert pixels(found.strips[0]).shape == (28, 3 * 28, 3)


def test_a_page_says_which_systems_it_cannot_show(fake_store: FakeStore) -> None:
    assert not_shown(fake_store.run(SPECS["figure5"], progress="waiting")) == ("TiTok-BL †", "One-D-Piece-L")


def test_a_broken_file_is_named_and_the_rest_is_shown(fake_store: FakeStore) -> None:
    run = fake_store.run(trained("figure7"), seeds=(0,))
    folder = run.rows[0].evaluation.folder
    assert folder is not None
    (folder / "examples.npz").write_bytes(b"torn")
    shown, problem = gallery_sets(run)
    assert shown.label.endswith("Vanilla")
    assert "cannot be read" in problem.problem


def test_nothing_is_drawn_before_anything_is_done(fake_store: FakeStore) -> None:
    assert gallery_sets(fake_store.run(trained("figure5"), progress="waiting")) == []
    assert gallery_sets(fake_store.run()) == []


def test_a_gallery_takes_the_place_of_the_strips(fake_store: FakeStore, report: Callable[..., str]) -> None:
    page = report(fake_store.run(trained("figure7")), name="figure7.html")
    assert 'id="galleries"' in page
    assert 'id="reconstructions"' not in page
    assert "T=1 − T=16" in page
