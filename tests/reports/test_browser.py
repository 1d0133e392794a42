"""A page in a real browser: it renders, keeps to the width of a phone, and runs nothing that data brought."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from experiments.records import Run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=400,1200",
)

HOSTILE = (
    "<script>document.documentElement.dataset.pwned=1</script>"
    "<img src=x onerror=\"document.documentElement.dataset.pwned=2\">'\"><svg onload=document.title='pwned'>"
)

PROBE = """<script>
const page = document.documentElement;
page.dataset.overflow = page.scrollWidth - page.clientWidth;
page.dataset.width = page.clientWidth;
const charts = [...document.querySelectorAll('.chart svg')];
page.dataset.charts = charts.filter(svg => svg.clientHeight > 100).length;
page.dataset.strips = [...document.images].filter(image => image.complete && image.naturalWidth).length;
const loaded = performance.getEntriesByType('resource');
page.dataset.requests = loaded.filter(entry => !entry.name.startsWith('data:')).length;
</script>"""
"""Ours, appended to a copy of the page: measures the layout and counts what was loaded."""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
def test_a_page_in_a_browser(
    hostile: Callable[[str], Run], report: Callable[..., str], tmp_path: Path
) -> None:
    html = report(hostile(HOSTILE)).replace("</body>", PROBE + "</body>")
    page = tmp_path / "probed.html"
    page.write_text(html, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    root = re.search(r"<html[^>]*>", dom)
    assert root
    measured = dict(re.findall(r'data-(\w+)="([^"]*)"', root[0]))
    assert "pwned" not in measured
    assert "<title>pwned</title>" not in dom
    assert measured["overflow"] == "0", "wide tables scroll within themselves"
    assert int(measured["width"]) <= 500
    assert int(measured["charts"]) >= 5
    assert measured["strips"] == "12", "two finished rows of six strips"
    assert measured["requests"] == "0"
