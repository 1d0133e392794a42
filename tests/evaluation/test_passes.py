"""A killed evaluation resumes at its last finished part, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sftok.evaluation import passes, reconstruction
from sftok.evaluation.passes import Album
from sftok.metrics.base import Measured, Metric, MetricConfig
from sftok.metrics.fid import RFIDConfig
from sftok.metrics.quantity import Quantity
from sftok.metrics.rate import RateConfig


class Killed(Exception):
    """Stands for a process that dies."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(passes, "PART_IMAGES", 16)


def kill_after(fraction: float):
    def progress(done: float) -> None:
        if done > fraction:
            raise Killed

    return progress


@pytest.mark.parametrize("fraction", [0.1, 0.45, 0.8])
def test_a_killed_evaluation_resumes_with_the_same_numbers(
    reconstruct, tokenizer, tmp_path, config, fraction
) -> None:
    metrics = (*config.metrics, RateConfig())
    whole, folder = reconstruct(metrics=metrics), tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(Killed):
        reconstruct(metrics=metrics, parts=folder, on_progress=kill_after(fraction))
    finished = sorted(path.name for path in folder.iterdir())
    assert finished
    decoded, decode = [], tokenizer.decode_codes
    tokenizer.decode_codes = lambda ids, *more: decoded.append(len(ids)) or decode(ids, *more)
    resumed = reconstruct(metrics=metrics, parts=folder)
    assert resumed.rows == whole.rows
    assert resumed.protocol == whole.protocol
    for kind in ("examples", "images", "extremes"):
        found, expected = getattr(resumed, kind), getattr(whole, kind)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    parts_done = sum(not name.startswith("part-ids") for name in finished)
    assert len(decoded) == 2 * 4 - parts_done
    assert not list(folder.iterdir())


def test_parts_without_any_image_to_keep_are_stored_and_read(reconstruct, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(reconstruction, "balanced", lambda images, count: torch.arange(4))
    metrics, folder = (RFIDConfig(),), tmp_path / "parts"
    folder.mkdir()
    whole = reconstruct(metrics=metrics)
    with pytest.raises(Killed):
        reconstruct(metrics=metrics, parts=folder, on_progress=kill_after(0.95))
    assert reconstruct(metrics=metrics, parts=folder).rows == whole.rows


def test_a_damaged_part_is_measured_again(reconstruct, tmp_path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(Killed):
        reconstruct(parts=folder, on_progress=kill_after(0.8))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert reconstruct(parts=folder).rows == reconstruct().rows


class Bright(Metric):
    def reset(self) -> None:
        self.value = 0.0

    def update(self, batch: Measured) -> None:
        self.value += batch.images.mean().item()

    def merge(self, other) -> None:
        self.value += other.value

    def compute(self) -> dict[str, float]:
        return {"bright": self.value}


class BrightConfig(MetricConfig):
    quantities = (Quantity(name="bright", label="Bright", meaning="brightness"),)
    needs = frozenset({"images"})

    def build(self, setup) -> Bright:
        return Bright()


def test_with_a_metric_that_needs_images_nothing_is_resumed(reconstruct, tmp_path) -> None:
    metrics, folder = (BrightConfig(),), tmp_path / "parts"
    folder.mkdir()
    with pytest.raises(Killed):
        reconstruct(metrics=metrics, parts=folder, on_progress=kill_after(0.8))
    assert not list(folder.iterdir())
    assert reconstruct(metrics=metrics, parts=folder).rows == reconstruct(metrics=metrics).rows


def test_the_table_of_images_has_the_means_of_the_rows_and_what_each_is(reconstruct, images) -> None:
    found = reconstruct()
    psnr = next(row["value"] for row in found.rows if row["metric"] == "psnr" and row["steps"] == 3)
    assert found.images["T3.psnr"].mean() == pytest.approx(psnr)
    assert found.images["T1.distance@classifier"].shape == (len(images),)
    assert found.images["label"].tolist() == ["abcd"[label] for label in images.targets]
    assert len(found.images["ids"]) == len(images)
    worst = found.images["T3.psnr"].argsort()[:24]
    assert found.extremes["T3.worst.places"].tolist() == worst.tolist()
    assert (found.extremes["T3.worst.original"] == images.pixels[worst].numpy()).all()
    assert found.extremes["T3.best.places"][0] == found.images["T3.psnr"].argmax()


def test_an_album_keeps_the_extremes_and_what_it_must_however_it_is_cut() -> None:
    scores = torch.randperm(200, generator=torch.Generator().manual_seed(0)).double()
    pixels = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    albums = []
    for size in (7, 200):
        album = Album(frozenset({5, 150}))
        for part in torch.arange(200).split(size):
            one = Album(album.always)
            one.add(part, pixels[part], {"psnr": scores[part]})
            album.merge(Album.from_tensors(one.tensors(), album.always))
        albums.append(album)
        assert [scores[place] for place in album.best()] == list(range(199, 175, -1))
        assert [scores[place] for place in album.worst()] == list(range(24))
        assert {5, 150} <= album.pixels.keys()
        assert all((image == place).all() for place, image in album.pixels.items())
        assert len(album.pixels) <= 50
    assert albums[0].scores == albums[1].scores
