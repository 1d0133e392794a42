"""`python -m experiments run` as a person types it, at smoke size, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

RUN = ("run", "table4", "--profile", "smoke")


def experiments(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )


def run_smoke(store: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return experiments(*RUN, "--store", store, *more)


def numbers(store: Path) -> pd.DataFrame:
    done = experiments("results", "table4", "--store", store, "--format", "json")
    assert done.returncode == 0, done.stderr
    return pd.DataFrame(json.loads(done.stdout))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which table4 was run with two seeds."""
    store = tmp_path_factory.mktemp("finished")
    done = run_smoke(store, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    return store


def test_a_finished_run_has_every_number(finished: Path) -> None:
    table = numbers(finished)
    rows = table[table.metric.eq("rfid") & table.steps.notna()]
    assert set(rows.row) == {"ratio-0.5", "ratio-0.8", "ratio-1.0"}
    assert set(rows.seed) == {0, 1}
    assert set(rows.steps) == {1, 2, 4, 8, 16}
    assert not rows.duplicated(["row", "seed", "steps", "extractor"]).any()
    assert len(rows) == 3 * 2 * 5 * rows.extractor.nunique()
    assert {"is", "psnr", "ssim", "codebook_usage", "code_accuracy"} <= set(table.metric)
    assert {"teacher", "real"} <= set(table.row)
    assert table.value.notna().all()


def test_verdicts_are_there_by_name_and_for_all(finished: Path) -> None:
    done = experiments("verdicts", "--store", finished, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {(record["table"], record["profile"]) for record in found} == {("table4", "smoke")}
    assert {(record["left"], record["right"]) for record in found} == {
        ("ratio-1.0:rfid@8", "ratio-0.8:rfid@8"),
        ("ratio-0.8:rfid@8", "ratio-0.5:rfid@8"),
    }
    assert all(record["seeds"] == "0 1" for record in found)
    text = experiments("verdicts", "table4", "--store", finished)
    assert "rFID falls as the replacement ratio rises" in text.stdout
    other = experiments("verdicts", "--profile", "cpu", "--store", finished)
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == f"verdicts: store {finished}: experiments were run here only at smoke\n"


def test_the_report_is_there(finished: Path) -> None:
    page = (finished / "report" / "table4.html").read_text()
    assert "meaningless" in page
    assert "4.33" in page
    assert (finished / "report" / "index.html").exists()


def test_a_second_run_makes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "artifacts").rglob("*")}
    done = run_smoke(finished, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "0 to make" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "artifacts").rglob("*")}


def test_status_says_done(finished: Path) -> None:
    done = experiments("status", "table4", "--store", finished)
    assert done.returncode == 0
    assert "20 of 20 artifacts done" in done.stdout


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def make_list(file: Path) -> None:
    file.write_text("[]")


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("evaluation-*/result.json", cut),
        ("evaluation-*/result.json", make_list),
        ("codes-*/result.json", zero),
        ("stage-*/model.safetensors", Path.unlink),
        ("teacher-*/model.safetensors", cut),
    ],
)
def test_a_damaged_artifact_is_made_again(
    finished: Path, tmp_path: Path, file: str, harm: Callable[[Path], None]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished, store)
    harm(sorted((store / "artifacts").glob(file))[0])
    assert experiments("results", "table4", "--store", store).returncode == 1
    done = run_smoke(store, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "19 done, 1 to make" in done.stdout
    pd.testing.assert_frame_equal(numbers(store), numbers(finished))


def test_a_killed_run_resumes_and_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    store = tmp_path / "killed"
    # In the first artifact, whatever it is; when some are done; and late, in an evaluation.
    for moment in ("work/*", "artifacts/codes-*", "work/evaluation-*"):
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments", *RUN, "--store", str(store)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and not any(store.glob(moment)):
            time.sleep(0.002)
        assert process.poll() is None, f"it ended before {moment}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = run_smoke(store)
    assert done.returncode == 0, done.stderr
    keys = ["row", "seed", "steps", "metric", "extractor"]
    expected = numbers(finished).query("seed == 0").set_index(keys).value.sort_index()
    found = numbers(store).set_index(keys).value.sort_index()
    pd.testing.assert_series_equal(found, expected, check_exact=True)


def test_a_terminated_run_checkpoints_and_says_so(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "experiments",
        *RUN,
        "--store",
        str(tmp_path),
        "--set",
        "teacher.steps=100000",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("work/teacher-*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume" in errors
    assert not list(tmp_path.glob("artifacts/teacher-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "table4", "--set", "stage2.context.replacement_rate=1"], "unknown key 'replacement_rate'"),
        (["run", "table4", "--set", "tokenizer.num_latent_tokens=50"], "more latent tokens than ids"),
        (["run", "table4", "--data", "/no/such/folder"], "/no/such/folder: no such folder"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = experiments(*arguments, "--store", tmp_path / "runs")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_cluster_file_with_an_unknown_key_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text("[kind.stage]\ngpu = 1")
    run = ["run", "table4", "--profile", "smoke", "--store", tmp_path / "runs"]
    done = experiments(*run, "--executor", "slurm", "--cluster", file)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cluster.toml: [kind.stage]: unknown key 'gpu': did you mean 'gpus'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_run_all_plans_everything_at_once(tmp_path: Path) -> None:
    done = experiments("run", "all", "--profile", "smoke", "--store", tmp_path / "runs", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "saved by sharing" in done.stdout
    assert done.stdout.count("  teacher-") == 2, "MaskGIT and VQGAN, once each"
    assert not (tmp_path / "runs").exists()


def test_show_says_where_values_come_from() -> None:
    done = experiments("show", "table1", "--profile", "paper")
    assert done.returncode == 0, done.stderr
    assert (
        "tokenizer.quantizer.codebook_size = 8192  # Table 6: Model, VQ Model, Codebook Size" in done.stdout
    )
    assert "GPU hours" in done.stdout
    assert "(2,880)" in done.stdout
    assert "not said" not in done.stdout
    content = json.loads(experiments("show", "table1", "--profile", "paper", "--format", "json").stdout)
    assert content["config"]["tokenizer"]["num_latent_tokens"] == 64
    assert content["rows"]["sftok-l"]["tokenizer"]["decoder"]["depth"] == 24
    assert content["parameters"]["sftok-l"]["decoder"] > 300e6


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    done = run_smoke(tmp_path / "runs", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "to make in about" in done.stdout
    assert "teacher-" in done.stdout
    assert not (tmp_path / "runs").exists()
