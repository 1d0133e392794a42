"""The page of evaluated tokenizers: one table for each protocol, sortable, offline, everything escaped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reports

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=400,1200",
)
HOSTILE = (
    "<script>document.documentElement.dataset.pwned=1</script>"
    "<img src=x onerror=\"document.documentElement.dataset.pwned=2\">'\"><svg onload=document.title='pwned'>"
)

FINGERPRINT = "f" * 64
METRICS = {
    name: {"name": name, "label": label, "direction": direction, "meaning": HOSTILE}
    for name, label, direction in (("psnr", "PSNR", 1), ("rfid", "rFID", -1), ("bits_per_pixel", "bpp", -1))
}


def evaluated(store: Path, number: int, label: str, rfid: float, **changes: Any) -> Path:
    folder = store / "artifacts" / f"measurement-{number:016x}"
    folder.mkdir(parents=True)
    rows = [
        {
            "subject": "tokenizer",
            "metric": metric,
            "extractor": space,
            "value": value,
            "n_images": 9,
            "steps": steps,
        }
        for steps in (1, 8)
        for metric, space, value in (
            ("psnr", "", 20.0 + steps),
            ("rfid", "lite", rfid / steps),
            ("bits_per_pixel", "", 0.1),
        )
    ]
    result = {
        "rows": rows,
        "metrics": METRICS,
        "protocol": {"fingerprint": FINGERPRINT, "n_images": 9, "extractors": {"lite": "w"}} | changes,
        "files": {},
        "subject": {"kind": "own", "label": label},
        "data": "photos/test",
        "provenance": {"started": f"2026-01-01T00:00:{number:02d}+00:00", "seconds": 1.0},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def page_of(store: Path) -> str:
    page = reports.build_evaluations(store)
    assert page is not None
    return page.read_text()


def test_without_evaluations_there_is_no_page(tmp_path: Path) -> None:
    assert reports.build_evaluations(tmp_path) is None


def test_a_line_for_each_decoding_the_best_first_and_marked(tmp_path: Path) -> None:
    evaluated(tmp_path, 0, "worse", 4.0)
    evaluated(tmp_path, 1, "better", 2.0)
    html = page_of(tmp_path)
    lines = re.findall(r'<th scope="row" data-sort="(\w+)">.*?data-sort="(T=\d)"', html, re.DOTALL)
    assert lines == [("better", "T=8"), ("worse", "T=8"), ("better", "T=1"), ("worse", "T=1")]
    assert '<span class="best">0.2500' in html
    assert html.index("rFID") < html.index("PSNR")
    assert html.count("<svg viewBox") == 2, "rFID over bits per pixel and over steps"


def test_numbers_of_two_protocols_never_share_a_table(tmp_path: Path) -> None:
    evaluated(tmp_path, 0, "earlier", 4.0)
    evaluated(tmp_path, 1, "later", 2.0, fingerprint="e" * 64, reference="train")
    tables = re.findall(r"<table class=\"sticky dense sortable\">.*?</table>", page_of(tmp_path), re.DOTALL)
    assert len(tables) == 2
    assert [("earlier" in table, "later" in table) for table in tables] == [(False, True), (True, False)]


def test_the_page_of_single_images_links_to_original_and_reconstruction(tmp_path: Path) -> None:
    folder = evaluated(tmp_path, 0, HOSTILE, 4.0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), np.uint8)
    arrays = {f"T8.{which}": pixels for which in ("best", "worst")}
    arrays |= {f"{name}.original": pixels for name in [*arrays]}
    arrays |= {f"T8.{which}.places": np.arange(3) for which in ("best", "worst")}
    np.savez(folder / "extremes.npz", **arrays)
    pd.DataFrame({"name": [HOSTILE, "b", "c"], "T8.psnr": [20.0, 21.0, 22.0]}).to_parquet(
        folder / "images.parquet"
    )
    assert f'href="evaluate-{folder.name}.html"' in page_of(tmp_path)
    report = tmp_path / "report"
    html = (report / f"evaluate-{folder.name}.html").read_text()
    assert "<script" not in html
    assert "<img src=x" not in html
    links = re.findall(r'<a href="([^"]+\.png)"><img src="data:image/png', html)
    assert len(links) == 2 * 2 * 3
    assert all((report / link).is_file() for link in links)


SORTED = """<script>
document.querySelectorAll("table.sortable thead th")[COLUMN].querySelector("button").click();
const rows = [...document.querySelectorAll("table.sortable tbody tr")];
const page = document.documentElement;
page.dataset.order = rows.map(row => row.cells[0].dataset.sort + row.cells[2].dataset.sort).join(" ");
page.dataset.overflow = page.scrollWidth - page.clientWidth;
page.dataset.requests = performance.getEntriesByType("resource").length;
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
@pytest.mark.parametrize(
    ("column", "order"), [(0, "aT=8 aT=1 zT=8 zT=1"), (2, "zT=1 aT=1 zT=8 aT=8"), (3, "zT=8 aT=8 zT=1 aT=1")]
)
def test_a_click_sorts_the_table_in_a_browser_and_nothing_is_loaded(
    tmp_path: Path, column: int, order: str
) -> None:
    evaluated(tmp_path, 0, "a", 4.0)
    evaluated(tmp_path, 1, "z", 2.0)
    page = tmp_path / "probed.html"
    page.write_text(page_of(tmp_path).replace("</body>", SORTED.replace("COLUMN", str(column)) + "</body>"))
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', dom[: dom.index("<head")]))
    assert found["order"] == order
    assert found["overflow"] == "0"
    assert found["requests"] == "0"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
def test_nothing_that_data_brought_runs_in_a_browser(tmp_path: Path) -> None:
    evaluated(tmp_path, 0, HOSTILE, 4.0, reference=HOSTILE)
    page_of(tmp_path)
    page = tmp_path / "report" / "evaluate.html"
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "data-pwned" not in dom[: dom.index("<head")]
    assert "<title>pwned</title>" not in dom
