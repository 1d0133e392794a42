"""`merge` copies by content and reports conflicts; `compare` shows numbers and protocols."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from stored_runs import StoreMaker

from experiments.__main__ import main
from experiments.store import read_result

sys.path.insert(0, str(Path(__file__).parent))
from light import assert_light

PROTOCOL = {
    "fingerprint": "f" * 64,
    "data": "d",
    "n_images": 10,
    "extractors": {"lite": "w"},
    "reference": "same",
}
PSNR = {"name": "psnr", "label": "PSNR", "direction": 1, "meaning": "likeness"}


def evaluated(
    store: Path, name: str, value: float, host: str = "one", label: str = "it", **protocol: Any
) -> None:
    folder = store / "artifacts" / name
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"12345")
    rows = [
        {
            "subject": "tokenizer",
            "metric": "psnr",
            "extractor": "",
            "value": value + steps,
            "n_images": 10,
            "steps": steps,
        }
        for steps in (1, 8)
    ]
    result = {
        "rows": rows,
        "metrics": {"psnr": PSNR},
        "protocol": PROTOCOL | protocol,
        "files": {"weights.bin": 5},
        "subject": {"kind": "own", "label": label},
        "provenance": {"started": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "host": host, "cpu": "chip"},
    }
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    evaluated(ours, "measurement-aa", 20.0)
    evaluated(theirs, "measurement-aa", 20.0, host="two")
    evaluated(theirs, "measurement-bb", 25.0, host="two", label="path/to/other")
    return ours, theirs


def test_what_is_new_is_copied_and_what_is_equal_is_left(stores, capsys) -> None:
    ours, theirs = stores
    (theirs / "requests").mkdir()
    (theirs / "requests" / "table4.cpu.json").write_text("{}")
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "1 artifacts copied, 1 here already, 1 requests copied" in capsys.readouterr().out
    assert read_result(ours / "artifacts" / "measurement-bb").rows[0].value == 26.0
    assert (ours / "requests" / "table4.cpu.json").exists()
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "0 artifacts copied, 2 here already, 0 requests copied" in capsys.readouterr().out


def test_another_number_under_the_same_key_names_both_machines_and_changes_nothing(
    stores, tmp_path, capsys
) -> None:
    ours, _ = stores
    evaluated(tmp_path / "third", "measurement-aa", 20.5, host="three")
    assert main(["merge", str(tmp_path / "third"), "--store", str(ours)]) == 1
    said = capsys.readouterr().err
    assert "conflict: measurement-aa: " in said
    assert "is 21.0 and 21.5" in said
    assert "(one, chip, " in said
    assert "(three, chip, " in said
    assert read_result(ours / "artifacts" / "measurement-aa").rows[0].value == 21.0


def test_a_damaged_artifact_is_not_copied_but_replaced(stores, capsys) -> None:
    ours, theirs = stores
    (ours / "artifacts" / "measurement-aa" / "weights.bin").write_bytes(b"1")
    (theirs / "artifacts" / "measurement-bb" / "result.json").write_text("{")
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "measurement-bb is not finished" in capsys.readouterr().err
    assert read_result(ours / "artifacts" / "measurement-aa") is not None
    assert not (ours / "artifacts" / "measurement-bb").exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path, capsys) -> None:
    assert main(["merge", str(tmp_path), "--store", str(tmp_path / "ours")]) == 1
    assert "not a store (it has no artifacts folder)" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()


def test_two_evaluations_stand_side_by_side(stores, capsys) -> None:
    _, theirs = stores
    assert main(["compare", "measurement-a", "other", "--store", str(theirs), "--format", "json"]) == 0
    printed = capsys.readouterr()
    lines = [(line["at"], line["a"], line["b"], line["difference"]) for line in json.loads(printed.out)]
    assert lines == [("T=1", 21.0, 26.0, 5.0), ("T=8", 28.0, 33.0, 5.0)]
    assert "same protocol, ffffffffffffffff" in printed.err


def test_what_the_protocols_differ_in_is_said(stores, capsys) -> None:
    ours, _ = stores
    evaluated(ours, "measurement-cc", 20.0, reference="train", extractors={"lite": "v"}, fingerprint="e" * 64)
    assert main(["compare", "measurement-aa", "measurement-cc", "--store", str(ours)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "not comparable: the protocols differ"
    assert {line.strip() for line in said[1:]} == {"reference: same | train", "extractors.lite: w | v"}


@pytest.mark.parametrize(("name", "message"), [("nothing", "not evaluated here"), ("it", "more than once")])
def test_an_evaluation_that_is_not_known_or_not_one_is_refused(
    stores, capsys, name: str, message: str
) -> None:
    ours, _ = stores
    evaluated(ours, "measurement-cc", 20.0)
    assert main(["compare", name, "measurement-aa", "--store", str(ours)]) == 2
    assert message in capsys.readouterr().err


def test_neither_needs_what_made_the_numbers(stores: tuple[Path, Path]) -> None:
    ours, theirs = map(str, stores)
    assert_light(["compare", "measurement-aa", "measurement-bb", "--store", theirs])
    assert_light(["merge", theirs, "--store", ours], needed="matplotlib")  # it draws the page again


def test_measured_times_are_no_conflict_but_other_weights_are(stores, tmp_path, capsys) -> None:
    ours, _ = stores
    for store, rate, weights in ((ours, 1.0, "a"), (tmp_path / "third", 2.0, "b")):
        evaluated(store, "speed-aa", rate)
        evaluated(store, "stage-aa", 1.0)
        path = store / "artifacts" / "stage-aa" / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": weights}))
    assert main(["merge", str(tmp_path / "third"), "--store", str(ours)]) == 1
    said = capsys.readouterr().err
    assert "conflict: stage-aa: the weights differ" in said
    assert "speed-aa" not in said


def test_other_seeds_of_a_request_are_named_with_the_command_that_shows_all(tmp_path, capsys) -> None:
    ours, theirs = StoreMaker(tmp_path / "ours"), StoreMaker(tmp_path / "theirs")
    ours.request(seeds=(0,))
    theirs.request(seeds=(1, 2))
    assert main(["merge", str(tmp_path / "theirs"), "--store", str(tmp_path / "ours")]) == 0
    captured = capsys.readouterr()
    assert "0 requests copied" in captured.out
    command = "python -m experiments run table4 --seeds 3"
    assert captured.err == f"table4 was requested here with other seeds; to show all: {command}\n"
