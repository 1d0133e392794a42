"""Commands that only read: from a synthetic store, in a light process, with damage said in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_runs import StoreMaker

from experiments.__main__ import main
from experiments.store import PROGRESS, write_json

sys.path.insert(0, str(Path(__file__).parent))
from light import assert_light

READING = [["status"], ["results", "table4"], ["verdicts"], ["report"]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """Table 4 with three seeds, complete."""
    maker = StoreMaker(tmp_path / "runs")
    maker.run(seeds=(0, 1, 2))
    yield maker.store.root
    maker.close()


def test_status_shows_what_delays_a_running_artifact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = StoreMaker(tmp_path)
    run = maker.run(seeds=(0,), progress="partial")
    running = run.request.by_name[run.rows[1].training[1].name]
    write_json(maker.store.work_folder(running) / PROGRESS, {"preparing": "compiling", "updated": 1.0})
    assert main(["status", "--store", str(tmp_path)]) == 0
    line = next(each for each in capsys.readouterr().out.splitlines() if running.name in each)
    assert line.split()[0] == "running"
    assert line.endswith("compiling")
    maker.close()


@pytest.mark.parametrize("arguments", [["list"], ["status"], ["status", "--format", "json"]], ids=" ".join)
def test_listing_loads_not_even_pandas(store: Path, arguments: list[str]) -> None:
    where = [] if arguments == ["list"] else ["--store", str(store)]
    assert_light([*arguments, *where], "pandas")


@pytest.mark.parametrize("arguments", [["results", "table4"], ["verdicts"]], ids=" ".join)
def test_numbers_are_read_without_the_libraries_that_made_them(store: Path, arguments: list[str]) -> None:
    assert_light([*arguments, "--store", str(store)])


def test_a_log_is_read_without_the_libraries_that_wrote_it(tmp_path: Path) -> None:
    maker = StoreMaker(tmp_path)
    request = maker.request()
    artifact = request.artifacts[-1]
    maker.store.record_failure(artifact, {"reason": "out of memory", "traceback": ""})
    assert_light(["logs", artifact.name, "--store", str(tmp_path)], "pandas")


def test_nothing_to_cancel_is_found_without_torch(store: Path) -> None:
    assert_light(["cancel", "table4", "--store", str(store)], "pandas", needed="submitit")


def test_every_number_has_the_fingerprint_of_its_protocol(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "table4", "--store", str(store), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["protocol"] for row in rows if row["subject"] == "tokenizer"} == {"9f2c41d07a35"}
    assert all(row["protocol"] for row in rows)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_damaged_result_is_one_line_with_file_and_remedy(
    store: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = next(iter(sorted(store.glob("artifacts/evaluation-*/result.json"))))
    damaged.write_text("[1, 2]")
    code = main([*arguments, "--store", str(store)])
    printed = capsys.readouterr()
    said = printed.out if arguments == ["status"] else printed.err
    (line,) = [line for line in said.splitlines() if str(damaged) in line]
    assert line.endswith("run the command again to recompute it")
    assert code == (0 if arguments == ["status"] else 1)
    if arguments[0] == "results":
        assert {row.split(",")[2] for row in printed.out.splitlines()[1:]} >= {"ratio-0.5", "ratio-1.0"}


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_damaged_request_is_named(
    store: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (request,) = (store / "requests").glob("*.json")
    request.write_text("{")
    assert main([*arguments, "--store", str(store)]) == 1
    assert f"{request}: cannot be read; delete it and run the command again" in capsys.readouterr().err


def test_a_store_that_holds_only_a_study_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.specs.registry import Registry

    study = Registry(("ablations",)).studies()["sampling"]
    folder = tmp_path / "studies" / "sampling-smoke"
    folder.mkdir(parents=True)
    stored = {
        "study": study.model_dump(mode="json"),
        "profile": "smoke",
        "meaningless": True,
        "identity": "0" * 64,
        "overrides": {},
        "data": "ten images",
        "command": "python -m experiments study sampling --profile smoke",
        "updated": "2026-01-01T00:00:00+00:00",
        "budget": 4,
        "extractor": "classifier",
        "trials": [{"number": 0, "state": "complete", "value": 1.0}, {"number": 1, "state": "running"}],
        "best": 0,
    }
    (folder / "trials.json").write_text(json.dumps(stored))
    assert main(["status", "--store", str(tmp_path)]) == 0
    line = "study sampling, profile smoke: 1 of 4 trials done, the best is trial 0\n"
    assert capsys.readouterr().out == line


def test_a_damaged_study_hides_no_table(
    store: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = store / "studies" / "sampling-smoke"
    folder.mkdir(parents=True)
    (folder / "trials.json").write_text("{")
    assert main(["status", "--store", str(store)]) == 0
    assert "table4" in capsys.readouterr().out
    assert f"left out: {folder / 'trials.json'}: damaged" in caplog.text
