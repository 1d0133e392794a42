"""Galleries of generated images, and the table of how their sampling was chosen."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from experiments.records.results import ResultRow, RowRun, Sampling, SamplingPoint, TableRun
from experiments.records.verdicts import cells
from experiments.spec import Claim, Comparison, Experiment, Point, Row
from reports.galleries import gallery_sets
from reports.generated import generated_images
from reports.guidance import guidance_table, sampling_words
from reports.strips import strip_sets
from reports.tables import headline

if TYPE_CHECKING:
    from conftest import FakeStore

EXPERIMENT = Experiment(
    name="table2",
    kind="table",
    title="Generation",
    source="Table 2",
    description="",
    rows=(
        Row(name="maskgit", label="MaskGIT", measures="generation", published={"gfid": 6.18}),
        Row(name="sftok-b", label="SFTok-B", measures="generation", published={"gfid": 2.32}),
    ),
    claims=(
        Claim(
            name="better",
            text="t",
            source="s",
            metric="gfid",
            comparisons=(
                Comparison(better=Point(row="sftok-b", steps=8), worse=Point(row="maskgit", steps=8)),
            ),
        ),
    ),
)
POINTS = (
    SamplingPoint(schedule="constant", scale=0.0, temperature=1.0, gfid=3.5),
    SamplingPoint(schedule="linear", scale=2.0, temperature=1.0, gfid=2.25),
)
CLASSES = ("T-shirt", "<b>Bag</b> & 'more'", "Boot")


def samples(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)


@pytest.fixture
def run(fake_store: FakeStore) -> TableRun:
    """Two rows that generate, measured at one seed, with three samples of each of three classes."""
    made = fake_store.run(EXPERIMENT, seeds=(4,), progress="complete")

    def generated(row: RowRun, chosen: int) -> RowRun:
        assert row.evaluation.folder
        strips = {f"S{number}": samples(number) for number in (1, 2, 10)}
        np.savez(
            row.evaluation.folder / "examples.npz",
            **strips,
            labels=np.arange(3),
            class_names=np.array(CLASSES),
        )
        number = ResultRow(
            table="table2", row=row.row, seed=4, profile="cpu", steps=8, temperature=1.0, metric="gfid",
            extractor="classifier@28", value=2.0 + chosen, n_images=100, artifact="a",
        )  # fmt: skip
        sampling = Sampling(
            points=POINTS, chosen=POINTS[chosen], extractor="classifier",
            reference="fashion-mnist/validation", n_images=1000, seed=7,
        )  # fmt: skip
        return row.model_copy(update={"results": (number,), "sampling": sampling})

    rows = tuple(generated(row, number) for number, row in enumerate(made.rows))
    return made.model_copy(update={"rows": rows})


def path_of(run: TableRun) -> Path:
    folder = run.rows[0].evaluation.folder
    assert folder is not None
    return folder / "examples.npz"


def test_a_line_is_a_class_and_has_its_samples_in_order(run: TableRun) -> None:
    first, second = generated_images(run)
    assert (first.label, second.label) == ("MaskGIT", "SFTok-B")
    assert [line.name for line in first.strips] == list(CLASSES)
    assert first.strips[2].alternative == "MaskGIT, Boot: 3 generated images"
    with Image.open(io.BytesIO(base64.b64decode(first.strips[2].uri.partition(",")[2]))) as image:
        shown = np.asarray(image)
    for place, number in enumerate((1, 2, 10)):
        expected = samples(number)[2].transpose(1, 2, 0)
        np.testing.assert_array_equal(shown[:, 28 * place : 28 * (place + 1)], expected)
    assert (first.width, first.pixelated) == (3 * 28 * 2, True)


def test_seeds_and_sampling_are_said(run: TableRun) -> None:
    words = [gallery.words for gallery in generated_images(run)]
    assert words == [
        "Training seed 4, sampling seed 7; no guidance, temperature 1",
        "Training seed 4, sampling seed 7; guidance linear up to 2, temperature 1",
    ]
    constant = SamplingPoint(schedule="constant", scale=4.5, temperature=2.5, gfid=1.0)
    assert sampling_words(constant) == "guidance constant at 4.5, temperature 2.5"


def test_generated_images_are_no_reconstructions(run: TableRun) -> None:
    assert strip_sets(run) == []
    assert gallery_sets(run) == []
    table = headline(run, cells(run))
    assert table.generates
    assert "rfid" not in {column.metric.name for column in table.columns}


def test_a_run_that_reconstructs_has_no_gallery(fake_store: FakeStore) -> None:
    assert generated_images(fake_store.run()) == []
    assert guidance_table(fake_store.run()) is None
    assert not headline(fake_store.run(), cells(fake_store.run())).generates


def test_a_broken_file_is_said_not_hidden(run: TableRun) -> None:
    path = path_of(run)
    path.write_bytes(path.read_bytes()[:200])
    broken, whole = generated_images(run)
    assert "cannot be read" in broken.problem
    assert not whole.problem
    np.savez(path, S1=samples(1), labels=np.array([9]), class_names=np.array(CLASSES))
    assert "cannot be read" in generated_images(run)[0].problem


def test_every_point_of_the_grid_is_shown_and_the_chosen_one_marked(run: TableRun) -> None:
    table = guidance_table(run)
    assert table is not None
    assert table.columns == (("MaskGIT", 4), ("SFTok-B", 4))
    assert [[(cell.text, cell.best) for cell in line.cells] for line in table.lines] == [
        [("3.50", True), ("3.50", False)],
        [("2.25", False), ("2.25", True)],
    ]
    assert table.said == "1,000 samples against fashion-mnist/validation in classifier"


def test_the_page_shows_both_and_escapes_what_it_shows(run: TableRun, report: Callable[..., str]) -> None:
    page = report(run, name="table2.html")
    assert 'id="generated"' in page
    assert 'id="guidance"' in page
    assert "At T=8 sampling steps" in page
    assert "<b>Bag" not in page
    assert "&lt;b&gt;Bag&lt;/b&gt; &amp; &#39;more&#39;: 3 generated images" in page
    assert page.count("data:image/png") == 2 * 3
