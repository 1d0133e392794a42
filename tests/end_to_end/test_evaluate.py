"""`evaluate CHECKPOINT`: a tokenizer's folder to rows under the whole protocol, and from the store again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments.__main__ import main
from experiments.executors.inline import Runner
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.decoding.schedule import DecodingConfig
from sftok.tokenizers.sftok import SFTok


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return SFTok.from_config(resolve(PROFILES["smoke"].overlay).tokenizer_config()).save_pretrained(
        tmp_path / "tokenizer"
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(12):
            file = tmp_path / "images" / split / f"class{number % 2}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draws.integers(0, 256, (30, 28, 3), np.uint8)).save(file)
    return tmp_path / "images"


def test_a_checkpoint_gets_a_row_of_each_metric_and_number_of_steps(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--steps", "1,2", "--format", "json"]
    line += ["--store", str(tmp_path / "runs")]
    assert main(line) == 0
    printed = capsys.readouterr().out
    rows = json.loads(printed)
    found = {(row["steps"], row["metric"]) for row in rows if row["steps"]}
    assert found >= {(steps, metric) for steps in (1, 2) for metric in ("rfid", "psnr", "ssim")}
    assert all(np.isfinite(row["value"]) for row in rows)
    assert {len(row["protocol"]) for row in rows} == {64}
    assert main(line) == 0
    assert capsys.readouterr().out == printed


def test_no_number_of_the_table_is_cut(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--steps", "1-16"]
    line += ["--store", str(tmp_path / "runs")]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(word in printed for word in ("codebook_usage", "codebook_entropy", "efficientnet-lite0@64"))
    assert main([*line, "--format", "json"]) == 0
    values = {f"{row['value']:.4f}" for row in json.loads(capsys.readouterr().out) if row["metric"] == "psnr"}
    assert values
    assert all(value in printed for value in values)


def test_steps_that_are_given_twice_are_refused(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--store", str(tmp_path / "runs")]
    assert main([*line, "--steps", "1", "--set", "evaluation.steps=[1,2]"]) == 2
    assert "--steps and --set evaluation.steps both set the steps" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_that_was_moved_is_not_measured_again(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(images), "--steps", "1", "--store", str(tmp_path / "runs")]
    assert main(["evaluate", str(checkpoint), *options]) == 0
    first = capsys.readouterr()
    assert "started" in first.err
    (stored,) = (tmp_path / "runs" / "artifacts").glob("measurement-*/result.json")
    assert json.loads(stored.read_text())["subject"] == {"kind": "checkpoint", "label": str(checkpoint)}
    moved = checkpoint.rename(tmp_path / "moved")
    assert main(["evaluate", str(moved), *options]) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "started" not in second.err


def test_a_checkpoint_that_changes_after_it_was_read_is_not_measured_under_its_name(
    checkpoint: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Runner.run

    def retrained(self: Runner, artifacts: Any) -> dict[Any, str]:
        tokenizer = SFTok.from_pretrained(checkpoint)
        with torch.no_grad():
            next(tokenizer.parameters()).add_(1)
        tokenizer.save_pretrained(checkpoint)
        return run(self, artifacts)

    monkeypatch.setattr(Runner, "run", retrained)
    options = ["--data", str(images), "--steps", "1", "--store", str(tmp_path / "runs")]
    assert main(["evaluate", str(checkpoint), *options]) == 1
    assert f"{checkpoint}: it has changed since it was read; evaluate it again" in capsys.readouterr().err


def test_what_has_no_effect_on_a_checkpoint_is_refused(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--store", str(tmp_path / "runs")]
    assert main([*line, "--set", "evaluation.kept_share=0.5"]) == 2
    assert "unknown key 'evaluation.kept_share'" in capsys.readouterr().err


def test_a_checkpoint_is_decoded_as_it_says(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = SFTok.from_pretrained(checkpoint)
    tokenizer.decoding = DecodingConfig(final_lookup="soft", temperature=0.0)
    soft = tokenizer.save_pretrained(tmp_path / "soft")
    found = []
    lines = [[str(soft)], [str(soft), "--set", "evaluation.final_lookup=hard"], [str(checkpoint)]]
    for line in lines:
        options = ["--data", str(images), "--steps", "2", "--store", str(tmp_path / "runs")]
        assert main(["evaluate", *line, *options, "--format", "json"]) == 0
        printed = capsys.readouterr()
        psnr = next(row["value"] for row in json.loads(printed.out) if row["metric"] == "psnr")
        found.append((psnr, printed.err))
    assert "decoded with temperature 0, schedule arccos, soft lookup" in found[0][1]
    assert "decoded with temperature 0, schedule arccos, hard lookup" in found[1][1]
    assert "decoded with temperature 1, schedule arccos, hard lookup" in found[2][1]
    assert found[0][0] != found[1][0]


OWN = """
from torch import nn

class Blurred:
    image_size = 28

    def reconstruct(self, images):
        return nn.functional.avg_pool2d(images, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)

def build():
    return Blurred()
"""


def values(line: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    assert main(["evaluate", *line, "--format", "json"]) == 0, capsys.readouterr().err
    return {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out)}


def saved_reconstructions(images: Path, folder: Path) -> np.ndarray:
    """What `OWN` makes of the test images, as PNGs in `folder` and in the order of their paths."""
    found = []
    for file in sorted(images.glob("val/*/*.png"), key=lambda path: path.parts):
        crop = np.asarray(Image.open(file), np.float64)[1:29]
        blurred = crop.reshape(14, 2, 14, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
        found.append(blurred.astype(np.uint8))  # truncated, as the protocol does
        target = folder / file.relative_to(images / "val")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(found[-1]).save(target)
    return np.stack(found)


def test_an_object_a_folder_and_an_array_of_the_same_reconstructions_get_the_same_numbers(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own_blurred.py"
    own.write_text(OWN)
    np.savez(tmp_path / "saved.npz", saved_reconstructions(images, tmp_path / "saved"))
    rest = ["--data", str(images), "--store", str(tmp_path / "runs")]
    by_object = values(["--tokenizer", str(own), *rest], capsys)
    by_folder = values(["--reconstructions", str(tmp_path / "saved"), *rest], capsys)
    by_array = values(["--reconstructions", str(tmp_path / "saved.npz"), *rest], capsys)
    assert by_folder == by_array
    assert by_folder["rfid"] == pytest.approx(
        by_object["rfid"], rel=5e-3
    )  # the image is truncated in float32
    assert by_folder["psnr"] == pytest.approx(by_object["psnr"], rel=1e-2)


def test_another_reference_has_another_number_and_another_fingerprint(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["codec:jpeg", "--quality", "50", "--data", str(images), "--set", "data.image_size=28"]
    line += ["--store", str(tmp_path / "runs"), "--format", "json"]
    found = []
    for reference in ([], ["--reference", "train"], ["--reference", str(images / "val")]):
        assert main(["evaluate", *line, *reference]) == 0
        rows = json.loads(capsys.readouterr().out)
        found.append(({row["metric"]: row["value"] for row in rows}, rows[0]["protocol"]))
    (same, own), (other, of_train), (again, of_folder) = found
    assert len({own, of_train, of_folder}) == 3
    assert other["rfid"] != same["rfid"]
    assert again["rfid"] == pytest.approx(same["rfid"], rel=1e-6)
    assert same["psnr"] == other["psnr"]


def test_intervals_probes_a_table_of_images_and_a_page(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--store", str(tmp_path / "runs")]
    assert main([*line, "--steps", "1", "--bootstrap", "3", "--probe", "--format", "json"]) == 0
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["psnr"]["half_width"] > 0
    assert 0 <= rows["linear_probe"]["value"] <= 1
    assert rows["nearest_neighbors"]["half_width"] is None
    (folder,) = (tmp_path / "runs" / "artifacts").glob("measurement-*")
    table = pd.read_parquet(folder / "images.parquet")
    assert table["T1.psnr"].mean() == pytest.approx(rows["psnr"]["value"])
    assert len(table) == 12
    assert len(table["ids"][0]) == SFTok.from_pretrained(checkpoint).num_tokens
    assert not list(folder.glob("part-*"))
    assert "±" in (tmp_path / "runs" / "report" / "evaluate.html").read_text()


def test_an_explanation_has_a_line_for_each_protocol(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", "codec:jpeg", "--quality", "50", "--data", str(images), "--set", "data.image_size=28"]
    line += ["--store", str(tmp_path / "runs"), "--explain"]
    assert main([*line, "--format", "json"]) == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert rows[0]["difference"] == 0
    assert len(rows) == len({row["what changed"] for row in rows}) >= 11
    assert "rFID in efficientnet-lite0@64" in printed.err
    assert main(line) == 0
    assert "showlab/D-AR issue 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ([], "give exactly one of CHECKPOINT, --tokenizer, --reconstructions or --samples, not none"),
        (["codec:jpeg", "--tokenizer", "a:b"], "not 2"),
        (["codec:jpeg", "--pair", "name"], "--pair is for --reconstructions"),
        (["--reconstructions", "x", "--quality", "3"], "--quality is for codec:NAME"),
        (["codec:gif"], "codec = 'gif'"),
        (["--tokenizer", "nowhere.py"], "nowhere.py: no such file"),
        (["--tokenizer", "no_such_module"], "no_such_module: cannot be imported"),
        (["codec:jpeg", "--reference", "nowhere"], "nowhere: no such folder or file"),
        (["codec:jpeg", "--probe"], "--probe: codec:jpeg has no token embeddings"),
        (["codec:jpeg", "--steps", "4"], "--steps is for tokenizers that decode in steps"),
        (["codec:jpeg", "--quality", "50,50"], "qualities"),
        (["codec:jpeg", "--seed", "1"], "--seed is for random:NAME"),
        (["--samples", "x", "--bootstrap", "3"], "--bootstrap is for reconstructions"),
    ],
)
def test_what_cannot_be_opened_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: list[str], named: str
) -> None:
    assert main(["evaluate", *line, "--store", str(tmp_path / "runs")]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--set", "data.image_size=64"], "data.image_size = 64, but this tokenizer takes 28x28 images"),
        (["--set", "data.path=elsewhere"], "--data and --set data.path both set the data"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    checkpoint: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    named: str,
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--store", str(tmp_path / "runs"), *more]
    assert main(line) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_numbers_of_classes_are_printed_and_on_the_page_of_the_subject(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--steps", "1,2", "--per-class"]
    line += ["--store", str(tmp_path / "runs")]
    assert main(line) == 0
    overall, classes = capsys.readouterr().out.rstrip().split("\n\n")
    assert "rfid" in overall
    assert [row.split()[0] for row in classes.splitlines()[1:]] == ["class0", "class1"]
    assert main([*line, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["class"] for row in rows} == {None, "class0", "class1"}
    (page,) = (tmp_path / "runs" / "report").glob("evaluate-*.html")
    assert "By class, T=2" in page.read_text()
    (index,) = (tmp_path / "runs" / "report").glob("evaluate.html")
    psnr = [row["value"] for row in rows if row["metric"] == "psnr" and row["class"] is None]
    assert all(f"{value:.2f}" in index.read_text() or f"{value:.4f}" in index.read_text() for value in psnr)


@pytest.mark.parametrize("option", [["--bootstrap", "5"], ["--per-class"], ["--probe"]], ids="".join)
def test_an_explanation_refuses_what_it_would_leave_out(
    option: list[str], checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(checkpoint), "--data", str(images), "--explain", *option]
    assert main([*line, "--store", str(tmp_path / "runs")]) == 2
    assert f"--explain prints rFID alone; leave {option[0]} out" in capsys.readouterr().err
