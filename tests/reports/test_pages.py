"""Pages: what they say at every state of a run, and that nothing from data becomes markup."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from experiments.paper.table4 import EXPERIMENT
from experiments.records.results import SettingLine
from experiments.spec import Curve, Experiment, Row, Setting
from reports import build
from reports.figures import draw

if TYPE_CHECKING:
    from conftest import FakeStore

Page = Callable[..., str]

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7000+77 }}$x^{"


class Outline(HTMLParser):
    """Tags, identifiers and attributes of a page; complains about tags that do not close."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "path", "rect", "circle", "use"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def _plain(html: str) -> str:
    """The words of a page."""
    body = html[html.index("<body>") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def _named(name: str, **changes: Any) -> Experiment:
    return EXPERIMENT.model_copy(update={"name": name, **changes})


def test_a_complete_page_says_everything(fake_store: FakeStore, report: Page) -> None:
    html = report(fake_store.run())
    words = _plain(html)
    assert "Table 4, Section 4.4" in words
    assert "python -m experiments run table4 --seeds 3" in words
    assert "✓ agrees in classifier@28 (primary)" in words
    assert "✓ agrees in efficientnet-lite0@64" in words
    assert "rFID ↓ in the paper" in words
    assert "rFID ↓ classifier@28 primary" in words
    assert "Equal compute: 8 min" in words
    assert "Teacher&#39;s own reconstruction" in words
    assert "9f2c41d07a35" in words
    assert "Peak memory" in words
    assert "stage2.replacement_ratio=0.5" in words
    assert html.count('class="verdict agrees"') == 3, "the headline and one for each feature space"
    assert html.count("data:image/png") == 3 * 6
    assert html.count("<figure>") == 3 + 2 + 3, "rFID twice and IS, two of the loss, PSNR, SSIM, accuracy"
    assert "http-equiv" not in html
    assert "smoke" not in words.lower()
    assert "Failures" not in words


def test_best_values_are_marked_by_more_than_colour(fake_store: FakeStore, report: Page) -> None:
    html = report(fake_store.run())
    assert '<span class="best">4.33<span class="hidden"> best</span></span>' in html
    assert html.count('<span class="best">') == 4, "published rFID, rFID twice, IS"


def test_the_page_is_there_before_the_first_result(fake_store: FakeStore, report: Page) -> None:
    html = report(fake_store.run(progress="waiting"))
    words = _plain(html)
    assert '<meta http-equiv="refresh" content="20">' in html
    assert "0 of 23 artifacts done, nothing runs now" in words
    assert words.count("SFTok-B, ratio 0.5 waiting") == 1
    assert "… pending" in words
    assert "Both comparisons: not measured yet." in words
    assert "No number yet." in words
    assert 'aria-valuenow="0"' in html


def test_a_running_page_shows_progress_and_what_runs_now(fake_store: FakeStore, report: Page) -> None:
    html = report(fake_store.run(progress="partial"))
    words = _plain(html)
    assert "running 11 of 23 artifacts done, about 33 min left." in words
    assert "Now: alignment, ratio-0.8, seed 0 , 43 %, about 4 min left" in words
    assert "SFTok-B, ratio 0.8 running: alignment, ratio-0.8, seed 0, 43 %" in words
    assert "http-equiv" in html
    assert 'role="progressbar"' in html


def test_failures_are_shown_first_with_their_error(fake_store: FakeStore, report: Page) -> None:
    words = _plain(report(fake_store.run(progress="failed", seeds=(0,))))
    assert "RuntimeError: loss is nan at step 812" in words
    assert words.index("RuntimeError") < words.index("What the paper claims")
    assert "SFTok-B, ratio 0.8 failed" in words


def test_one_seed_has_no_interval(fake_store: FakeStore, report: Page) -> None:
    words = _plain(report(fake_store.run(seeds=(0,))))
    assert "≈ inconclusive" in words
    assert "Both comparisons: one seed: no interval; the difference points the claimed way." in words


def test_smoke_numbers_are_marked_wherever_they_show(fake_store: FakeStore, report: Page) -> None:
    run = fake_store.run(profile="smoke", meaningless=True)
    html = report(run)
    assert "Smoke run: the numbers are meaningless." in html[: html.index("<h1>")]
    captions = re.findall(r"<caption[^>]*>.*?</caption>", html, flags=re.DOTALL)
    with_numbers = [text for text in captions if "artifact" not in text and "images" not in text]
    assert len(with_numbers) == 3
    assert all("numbers are meaningless" in text for text in with_numbers)
    assert report(run, name="index.html").count("smoke: meaningless") == 2
    assert "meaningless" in report(run, name="table4.tex")


def test_rows_of_different_protocols_are_not_compared_silently(fake_store: FakeStore, report: Page) -> None:
    run = fake_store.run(seeds=(0,))
    first, *others = run.rows
    odd = first.model_copy(update={"protocol": {"fingerprint": "another"}})
    assert "2 different protocols" not in report(run)
    assert "2 different protocols" in report(run.model_copy(update={"rows": (odd, *others)}))


def test_nothing_from_data_becomes_markup(fake_store: FakeStore, report: Page) -> None:
    hostile = fake_store.hostile(HOSTILE)
    expected = Outline(report(fake_store.run(seeds=(0,), progress="failed")))
    for name in ("table4.html", "index.html"):
        found = Outline(report(hostile, name=name))
        assert "script" not in found.tags
        assert found.values("onerror") == []
        assert all(value.startswith("data:image/") for value in found.values("src"))
        assert "7077" not in report(hostile, name=name), "no template in data is run"
    assert Outline(report(hostile)).tags.count("img") == expected.tags.count("img")


@pytest.mark.parametrize("progress", ["waiting", "partial", "failed", "complete"])
def test_pages_are_well_formed_accessible_and_load_nothing(
    fake_store: FakeStore, report: Page, progress: Any
) -> None:
    run = fake_store.run(progress=progress)
    for name in ("table4.html", "index.html"):
        html = report(run, name=name)
        outline = Outline(html)
        assert '<html lang="en">' in html
        addresses = outline.values("src") + outline.values("href")
        assert not [
            address for address in addresses if re.match(r"\w+:|//", address) and address[:5] != "data:"
        ]
        assert "url(http" not in html
        assert "@import" not in html
        identifiers = outline.values("id")
        assert len(identifiers) == len(set(identifiers))
        assert {address[1:] for address in addresses if address.startswith("#")} <= set(identifiers)
        assert all(value for _, name, value in outline.attributes if name in ("alt", "aria-label"))
        assert outline.tags.count("img") == len(outline.values("alt"))
        assert outline.tags.count("table") == outline.tags.count("caption")
        levels = [int(tag[1]) for tag in outline.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_latest_request_wins_and_profiles_have_pages_of_their_own(
    fake_store: FakeStore, report: Page
) -> None:
    old = fake_store.run(command="old command", requested="2025-01-01T00:00:00+00:00")
    new = fake_store.run(command="new command", requested="2025-01-02T00:00:00+01:00")
    smoke = fake_store.run(profile="smoke", command="smoke command", requested="2025-01-01T12:00:00")
    assert "new command" in report(old, new)
    tied = old.model_copy(update={"command": "tied command"})
    assert "tied command" in report(tied, old), "the store lists the latest first"
    assert "new command" in report(new, smoke, old)
    assert "new command" in report(new, smoke, old, name="table4-cpu.html")
    assert "smoke command" in report(new, smoke, old, name="table4-smoke.html")
    assert 'href="table4-smoke.html"' in report(new, smoke, name="table4-cpu.html")
    assert 'href="table4-smoke.csv"' in report(new, smoke, name="table4-smoke.html")
    assert "profile smoke" in report(new, smoke, name="table4-smoke.tex")
    assert "profile cpu" in report(new, smoke, name="table4.tex")
    assert report(new, smoke, name="index.html").count('href="table4-smoke.html"') == 1


def test_the_overview_says_the_scale_once_if_all_have_the_same(fake_store: FakeStore, report: Page) -> None:
    run = fake_store.run()
    figure = fake_store.run(_named("figure8", kind="figure", title="Steps"))
    words = _plain(report(run, figure, name="index.html"))
    assert words.count(run.data) == 1
    elsewhere = figure.model_copy(update={"data": "other images"})
    assert _plain(report(run, elsewhere, name="index.html")).count(run.data) > 1


def test_the_overview_begins_with_the_count_of_verdicts(fake_store: FakeStore, report: Page) -> None:
    figure = fake_store.run(_named("figure8", kind="figure", title="Steps"))
    words = _plain(report(fake_store.run(), figure, name="index.html"))
    assert words.index("Claims 2 agrees") < words.index("Found here") < words.index("Seeds")


def test_the_overview_lists_tables_before_figures_and_every_claim(
    fake_store: FakeStore, report: Page
) -> None:
    figure = fake_store.run(_named("figure8", kind="figure", title="Steps"), seeds=(0,))
    words = _plain(report(figure, fake_store.run(), name="index.html"))
    assert words.index("table4 Ablation on") < words.index("figure8 Steps")
    assert words.count("rFID falls as the replacement ratio rises") == 2
    assert "1 agrees" in words
    assert "1 inconclusive" in words
    assert "rFID −0." in words
    assert "How to read this" in words


def test_an_empty_store_has_an_overview(fake_store: FakeStore, report: Page) -> None:
    assert "Nothing has been run yet" in report(name="index.html")


def test_an_experiment_without_claims_or_published_values_has_a_page(
    fake_store: FakeStore, report: Page
) -> None:
    rows = tuple(row.model_copy(update={"published": {}}) for row in EXPERIMENT.rows)
    words = _plain(report(fake_store.run(_named("table4", rows=rows, claims=()), seeds=(0,))))
    assert "and what was found here" not in words
    assert "in the paper" not in words
    assert "rFID ↓ classifier@28" in words


def test_equal_inputs_give_equal_bytes_and_no_litter(fake_store: FakeStore) -> None:
    run = fake_store.run(progress="partial")
    folder = build(fake_store.root, [run]).parent
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    draw.cache_clear()
    build(fake_store.root, [run])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sorted(first) == ["index.html", "table4.csv", "table4.html", "table4.tex"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failed_write_leaves_the_old_page_and_no_draft(
    fake_store: FakeStore, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    folder = build(fake_store.root, [fake_store.run(seeds=(0,))]).parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def half(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[: len(text) // 2].encode(encoding))
        raise failure

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(type(failure)):
        build(fake_store.root, [])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_reports_need_no_torch() -> None:
    check = "import sys, reports.pages, reports.export; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_a_rebuild_is_cheap(fake_store: FakeStore) -> None:
    run = fake_store.run()
    build(fake_store.root, [run])
    started = time.process_time()
    build(fake_store.root, [run])
    assert time.process_time() - started < 1.0


def test_a_page_of_settings_alone(fake_store: FakeStore, report: Page) -> None:
    setting = Setting(category="Model", parameter="Token Size", published=("32", "32", "-"), key="x")
    experiment = _named(
        "table6", rows=(Row(name="a", label="A", trained=False),), claims=(), settings=(setting,)
    )
    line = SettingLine(
        category="Model",
        parameter="Token Size",
        published=("32", "32", "–"),
        here=("16", "16", "–"),
        agrees=False,
        note="why",
    )
    run = fake_store.run().model_copy(
        update={"experiment": experiment, "rows": (), "artifacts": (), "references": (), "settings": (line,)}
    )
    html = report(run, name="table6.html")
    Outline(html)
    assert "Token Size why 32 32 – 16 16 – ≠ different" in _plain(html)
    assert "Published against ours" not in html


def test_a_page_of_training_curves_and_costs(fake_store: FakeStore, report: Page) -> None:
    curve = Curve(title="Figure 4b: loss", stages=("",), quantity="loss")
    run = fake_store.run(_named("figure4b", kind="figure", curves=(curve,)))
    html = report(run, name="figure4b.html")
    Outline(html)
    assert "Figure 4b: loss" in _plain(html)
    assert 'id="training-curves"' in html


def test_a_published_only_row_is_on_the_page(fake_store: FakeStore, report: Page) -> None:
    theirs = Row(name="theirs", label="Theirs", trained=False, published={"rfid": 3.0}, facts={"#Code": "9"})
    run = fake_store.run()
    experiment = _named("table4", rows=(*EXPERIMENT.rows, theirs), facts=("#Code",))
    run = run.model_copy(update={"experiment": experiment})
    html = report(run)
    Outline(html)
    assert "Theirs published only 9 3.00" in _plain(html)
