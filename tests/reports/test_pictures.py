"""Pictures: exact pixels, what stands where, and a word where a file is broken."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from stored_runs import CLASSIFIER, SPECS, line

from experiments.records import Run
from experiments.specs import Claim, Experiment, Row
from experiments.store import EXAMPLES
from reports.pictures import Strip, data_uri
from reports.sections import galleries, generated, guidance, reconstructions
from reports.sections.galleries import BRIGHTER, difference
from reports.sections.results import headline
from reports.tables import Table

if TYPE_CHECKING:
    from stored_runs import StoreMaker

GENERATION = Experiment(
    name="table2",
    kind="table",
    title="Generation",
    source="Table 2",
    description="",
    rows=(
        Row(name="maskgit", label="MaskGIT", measures="generation", published={"gfid": 6.18}),
        Row(name="sftok-b", label="SFTok-B", measures="generation", published={"gfid": 2.32}),
    ),
    claims=(Claim(name="better", text="t", source="s", metric="gfid", order=("sftok-b@8 < maskgit@8",)),),
)
CLASSES = ("T-shirt", "<b>Bag</b> & 'more'", "Boot")
POINTS = [
    {"guidance_schedule": "constant", "guidance_scale": 0.0, "temperature": 1.0, "gfid": 3.5},
    {"guidance_schedule": "linear", "guidance_scale": 2.0, "temperature": 1.0, "gfid": 2.25},
]


def trained(name: str) -> Experiment:
    return SPECS[name].model_copy(update={"rows": SPECS[name].trained_rows})


def pixels(strip: Strip | str) -> np.ndarray:
    uri = strip if isinstance(strip, str) else strip.uri
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)


def examples_of(run: Run, row: int = 0) -> Path:
    folder = run.rows[row].evaluation.folder
    assert folder is not None
    return folder / EXAMPLES


def replaced(path: Path, **arrays: Any) -> None:
    """Other arrays in the place of an `examples.npz`; its result is told of the new size."""
    np.savez(path, **arrays)
    resized(path)


def resized(path: Path) -> None:
    result = json.loads((path.parent / "result.json").read_text())
    result["files"][EXAMPLES] = path.stat().st_size
    (path.parent / "result.json").write_text(json.dumps(result))


def test_small_images_are_kept_to_the_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)
    uri = data_uri(images)
    assert uri.startswith("data:image/png;")
    assert pixels(uri).shape == (28, 3 * 28, 3)
    for index, image in enumerate(images):
        np.testing.assert_array_equal(pixels(uri)[:, 28 * index : 28 * (index + 1)], image.transpose(1, 2, 0))


def test_large_images_are_compressed() -> None:
    images = np.full((2, 3, 96, 96), 120, dtype=np.uint8)
    assert data_uri(images).startswith("data:image/jpeg;")
    assert abs(pixels(data_uri(images)).astype(int) - 120).max() <= 2


@pytest.mark.parametrize(
    "images",
    [np.zeros(shape, np.uint8) for shape in ((3, 28, 28), (2, 1, 28, 28), (0, 3, 28, 28))]
    + [np.zeros((1, 3, 4, 4))],
)
def test_other_arrays_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        data_uri(images)


def test_every_finished_row_has_strips_at_every_step(maker: StoreMaker) -> None:
    sets = reconstructions.drawn(maker.run())
    assert [each.label for each in sets] == ["SFTok-B, ratio 0.5", "SFTok-B, ratio 0.8", "SFTok-B, ratio 1.0"]
    assert [strip.name for strip in sets[0].strips] == ["original", "T=1", "T=2", "T=4", "T=8", "T=16"]
    assert sets[0].columns[:2] == ("T-shirt", "Trouser")
    assert (sets[0].pixelated, sets[0].width) == (True, 10 * 28 * 2)
    assert sets[0].strips[1].alternative == "SFTok-B, ratio 0.5, T=1: 10 images"
    assert len(reconstructions.drawn(maker.run(seeds=(7,), progress="partial"))) == 1
    assert reconstructions.drawn(maker.run(seeds=(9,), progress="waiting")) == []


def test_images_without_labels_and_with_the_teachers(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    images = np.zeros((12, 3, 256, 256), dtype=np.uint8)
    replaced(examples_of(run), original=images, teacher=images, T8=images)
    first = reconstructions.drawn(maker.load(run.request))[0]
    assert first.columns == ()
    assert [strip.name for strip in first.strips] == ["original", "teacher", "T=8"]
    assert (first.pixelated, first.width) == (False, 10 * 128)


def test_a_broken_file_is_said_not_hidden(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    replaced(examples_of(run), something=np.zeros(3))
    broken, *others = reconstructions.drawn(maker.load(run.request))
    assert broken.problem.startswith("examples.npz cannot be read: ")
    assert not any(each.problem for each in others)


def test_damage_at_any_byte_is_said(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    path = examples_of(run)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    np.savez_compressed(path, original=images, T8=images)
    resized(path)
    run = maker.load(run.request)
    whole = path.read_bytes()
    problems = 0
    for place in range(0, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        reconstructions.drawn.cache_clear()
        problems += "cannot be read" in reconstructions.drawn(run)[0].problem
    assert problems > len(whole) / 29 / 2


def test_a_difference_is_absolute_brightened_and_cut_off() -> None:
    left, right = np.full((1, 3, 2, 2), 10, np.uint8), np.full((1, 3, 2, 2), 30, np.uint8)
    assert (difference(left, right) == BRIGHTER * 20).all()
    assert (difference(right, left) == BRIGHTER * 20).all()
    assert (difference(np.zeros_like(left), np.full_like(left, 255)) == 255).all()
    with pytest.raises(ValueError, match="cannot subtract"):
        difference(left, left[:, :, :1])


def test_systems_stand_one_below_the_other_over_what_they_get_wrong(maker: StoreMaker) -> None:
    (found,) = galleries.drawn(maker.run(trained("figure5")))
    names = [strip.name.partition(" (")[0] for strip in found.strips]
    assert names[:3] == ["original", "TiTok-B, T=1", "difference"]
    assert names.count("difference") == 6
    assert names[-2] == "SFTok-L, T=8"
    expected = np.abs(pixels(found.strips[0]).astype(int) - pixels(found.strips[1]).astype(int))
    assert (pixels(found.strips[2]) == np.minimum(BRIGHTER * expected, 255)).all()


def test_every_number_of_steps_and_what_they_change(maker: StoreMaker) -> None:
    sets = galleries.drawn(maker.run(trained("figure7")))
    assert [found.label.rpartition(": ")[2] for found in sets] == ["SFVR + warm-up", "Vanilla"]
    steps = (1, 2, 4, 8, 16)
    assert [strip.name.partition(" (")[0] for strip in sets[0].strips] == [
        "original",
        *(f"T={step}" for step in steps),
        *(f"T={step} − original" for step in steps),
        "T=1 − T=16",
    ]


def test_a_line_for_each_class(maker: StoreMaker) -> None:
    (found,) = galleries.drawn(maker.run(trained("figure15")))
    assert [strip.name for strip in found.strips][:2] == ["T-shirt", "Trouser"]
    assert found.columns == ("original", "SFTok-B", "SFTok-L")
    assert pixels(found.strips[0]).shape == (28, 3 * 28, 3)


def test_a_gallery_takes_the_place_of_the_strips(maker: StoreMaker, report: Callable[..., str]) -> None:
    run = maker.run(SPECS["figure5"], seeds=(0,))
    replaced(examples_of(run), original=np.zeros(3))
    page = report(maker.load(run.request), name="figure5.html")
    assert 'id="galleries"' in page
    assert 'id="reconstructions"' not in page
    assert "so not in the picture" not in page
    assert page.count("cannot be read") == 1
    assert galleries.drawn(maker.run(trained("figure5"), seeds=(9,), progress="waiting")) == []


def samples(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)


@pytest.fixture
def generating(maker: StoreMaker) -> Run:
    """Two rows that generate, with three samples of each of three classes, and how they were chosen."""

    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        return [line("gfid", 2.0 + len(row), CLASSIFIER, "generation", steps=8, temperature=1.0)]

    run = maker.run(GENERATION, seeds=(4,), measure=measure)
    strips = {f"S{number}": samples(number) for number in (1, 2, 10)}
    for number, row in enumerate(run.rows):
        replaced(examples_of(run, number), **strips, labels=np.arange(3), class_names=np.array(CLASSES))
        path = examples_of(run, number).parent / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
        name = run.input_of(row.evaluation, "guidance")
        path = maker.store.folder(run.request.by_name[name]) / "result.json"
        choice = {"points": POINTS, "chosen": POINTS[number], "extractor": "classifier", "n_images": 1000}
        choice["reference"] = "fashion-mnist/validation"
        path.write_text(json.dumps(json.loads(path.read_text()) | choice))
    return maker.load(run.request)


def test_a_strip_is_a_class_and_has_its_samples_in_order(generating: Run) -> None:
    first, second = generated.drawn(generating)
    assert (first.label, second.label) == ("MaskGIT", "SFTok-B")
    assert [strip.name for strip in first.strips] == list(CLASSES)
    assert first.strips[2].alternative == "MaskGIT, Boot: 3 images"
    for place, number in enumerate((1, 2, 10)):
        expected = samples(number)[2].transpose(1, 2, 0)
        np.testing.assert_array_equal(pixels(first.strips[2])[:, 28 * place : 28 * (place + 1)], expected)
    assert [each.words for each in (first, second)] == [
        "Training seed 4, sampling seed 7, no guidance, temperature 1",
        "Training seed 4, sampling seed 7, guidance linear up to 2, temperature 1",
    ]


def test_generated_images_are_no_reconstructions(generating: Run) -> None:
    assert reconstructions.drawn(generating) == []
    table = headline(generating)
    assert "T=8 sampling steps" in table.caption
    assert "rFID ↓" not in {column.name for column in table.columns}


def test_every_point_of_the_grid_is_shown_and_the_chosen_one_marked(generating: Run) -> None:
    table: Table = guidance.grid(generating)
    assert [(column.name, *column.notes) for column in table.columns[1:]] == [
        ("MaskGIT", "seed 4"),
        ("SFTok-B", "seed 4"),
    ]
    assert [[(cell.text, cell.best) for cell in each.cells] for each in table.groups[0].lines] == [
        [("3.50", True), ("3.50", False)],
        [("2.25", False), ("2.25", True)],
    ]
    assert "gFID of 1,000 samples against fashion-mnist/validation in classifier" in table.caption
    constant = guidance.SamplingPoint(guidance_schedule="constant", guidance_scale=4.5, temperature=2.5)
    assert constant.words == "guidance constant at 4.5, temperature 2.5"


def test_the_page_shows_both_and_escapes_what_it_shows(generating: Run, report: Callable[..., str]) -> None:
    page = report(generating, name="table2.html")
    assert 'id="generated"' in page
    assert 'id="guidance"' in page
    assert "<b>Bag" not in page
    assert "&lt;b&gt;Bag&lt;/b&gt; &amp; &#39;more&#39;: 3 images" in page
    assert page.count("data:image/png") == 2 * 3


def test_a_run_that_reconstructs_generates_nothing(maker: StoreMaker, generating: Run) -> None:
    run = maker.run(seeds=(5,))
    assert generated.drawn(run) == []
    assert not guidance.applies(run)
    replaced(examples_of(generating), S1=samples(1), labels=np.array([9]), class_names=np.array(CLASSES))
    assert "cannot be read" in generated.drawn(maker.load(generating.request))[0].problem
