"""Numbers of single classes: of their own images, and together those of all."""

from __future__ import annotations

import pytest


def test_classes_together_have_the_mean_of_all(reconstruct, images) -> None:
    plain, found = reconstruct(), reconstruct(per_class=True)
    assert [row for row in found.rows if "class" not in row] == plain.rows
    assert found.protocol == plain.protocol
    of_classes = [row for row in found.rows if row.get("class") and row["steps"] == 3]
    psnr = [row for row in of_classes if row["metric"] == "psnr"]
    assert {row["class"] for row in psnr} == set("abcd")
    assert sum(row["n_images"] for row in psnr) == len(images)
    (whole,) = (row["value"] for row in plain.rows if row["metric"] == "psnr" and row["steps"] == 3)
    assert sum(row["value"] * row["n_images"] for row in psnr) / len(images) == pytest.approx(whole)
    assert not [row for row in of_classes if row["metric"] == "rfid"]


def test_a_class_has_the_mean_of_its_own_images(reconstruct) -> None:
    found = reconstruct(per_class=True)
    own = found.images["T1.psnr"][found.images["label"] == "b"].mean()
    assert own == pytest.approx(
        next(
            row["value"]
            for row in found.rows
            if row["metric"] == "psnr" and row["steps"] == 1 and row.get("class") == "b"
        )
    )
