"""Pages: what they say at every state of a run, and that nothing from data becomes markup."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run
from experiments.specs import Experiment
from reports import build, figures, pages

if TYPE_CHECKING:
    from stored_runs import StoreMaker

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


def figure8(**changes: Any) -> Experiment:
    return EXPERIMENT.model_copy(update={"name": "figure8", "kind": "figure", "title": "Steps"} | changes)


def test_a_complete_page_says_everything(maker: StoreMaker, report: Page) -> None:
    html = report(maker.run())
    words = _plain(html)
    for expected in (
        *("Table 4, Section 4.4", "python -m experiments run table4 --seeds 3", "Equal compute: 8 min"),
        *("✓ agrees in classifier@28 (primary)", "✓ agrees in efficientnet-lite0@64"),
        *("rFID ↓ in the paper", "rFID ↓ classifier@28 primary", "Teacher&#39;s own reconstruction"),
        *("9f2c41d07a35", "Peak memory", "replacement_ratio=0.5"),
    ):
        assert expected in words
    assert html.count('class="verdict agrees"') == 3, "the headline and one for each feature space"
    assert html.count("data:image/png") == 3 * 6
    assert html.count("<figure>") == 3 + 2 + 1, "rFID twice and IS, two of the loss, PSNR"
    assert "http-equiv" not in html
    assert "smoke" not in words.lower()
    assert "Failures" not in words


def test_best_values_are_marked_by_more_than_color(maker: StoreMaker, report: Page) -> None:
    html = report(maker.run())
    assert '<span class="best">4.33<span class="hidden"> best</span></span>' in html
    assert html.count('<span class="best">') == 4, "published rFID, rFID twice, IS"


def test_the_page_is_there_before_the_first_result(maker: StoreMaker, report: Page) -> None:
    html = report(maker.run(progress="waiting"))
    words = _plain(html)
    assert '<meta http-equiv="refresh" content="20">' in html
    assert "0 of 24 artifacts done, nothing is running" in words
    assert words.count("SFTok-B, ratio 0.5 waiting") == 1
    assert "… pending" in words
    assert "Both comparisons: not measured yet." in words
    assert "No number yet." in words
    assert 'aria-valuenow="0"' in html


def test_a_running_page_shows_progress_and_what_runs_now(maker: StoreMaker, report: Page) -> None:
    html = report(maker.run(progress="partial"))
    words = _plain(html)
    assert "running 12 of 24 artifacts done, about 33 min left." in words
    assert "Now: alignment of ratio-0.8, seed 0 , 43 %, about 4 min left" in words
    assert "SFTok-B, ratio 0.8 running: alignment of ratio-0.8, seed 0, 43 %" in words
    assert "http-equiv" in html
    assert 'role="progressbar"' in html


def test_failures_are_shown_first_with_their_error(maker: StoreMaker, report: Page) -> None:
    words = _plain(report(maker.run(progress="failed", seeds=(0,))))
    assert words.index("loss is nan at step 812") < words.index("What the paper claims")
    assert "SFTok-B, ratio 0.8 failed" in words


def test_smoke_numbers_are_marked_wherever_they_show(maker: StoreMaker, report: Page) -> None:
    run = maker.run(profile="smoke", meaningless=True)
    html = report(run)
    assert "Smoke run: the numbers are meaningless." in html[: html.index("<h1>")]
    captions = re.findall(r"<caption[^>]*>.*?</caption>", html, flags=re.DOTALL)
    with_numbers = [text for text in captions if "images" not in text]
    assert len(with_numbers) == 5
    assert all("numbers are meaningless" in text for text in with_numbers)
    assert report(run, name="index.html").count("smoke: meaningless") == 2
    assert "meaningless" in report(run, name="table4.tex")


def test_nothing_from_data_becomes_markup(report: Page, hostile: Callable[[str], Run]) -> None:
    run = hostile(HOSTILE)
    for name in ("table4.html", "index.html"):
        page = report(run, name=name)
        found = Outline(page)
        assert "script" not in found.tags
        assert found.values("onerror") == []
        assert all(value.startswith("data:image/") for value in found.values("src"))
        assert "7077" not in page, "no template in data is run"
    assert Outline(report(run)).tags.count("img") == 2 * 6


@pytest.mark.parametrize("progress", ["waiting", "partial", "failed", "complete"])
def test_pages_are_well_formed_accessible_and_load_nothing(
    maker: StoreMaker, report: Page, progress: Any
) -> None:
    run = maker.run(progress=progress)
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
    maker: StoreMaker, report: Page
) -> None:
    run = maker.run(seeds=(0,))

    def asked(command: str, requested: str, profile: str = "cpu") -> Run:
        values = {"command": f"{command} command", "requested": requested, "profile": profile}
        return maker.load(run.request.model_copy(update=values))

    old = asked("old", "2025-01-01T00:00:00+00:00")
    new = asked("new", "2025-01-02T00:00:00+01:00")
    smoke = asked("smoke", "2025-01-01T12:00:00", "smoke")
    assert "new command" in report(old, new)
    tied = asked("tied", old.request.requested)
    assert "tied command" in report(tied, old), "the store lists the latest first"
    assert "new command" in report(new, smoke, old)
    folder = maker.store.root / "report"
    pages = {path.name: path.read_text() for path in folder.iterdir()}
    assert "new command" in pages["table4-cpu.html"]
    assert "smoke command" in pages["table4-smoke.html"]
    assert 'href="table4-smoke.html"' in pages["table4-cpu.html"]
    assert 'href="table4-smoke.csv"' in pages["table4-smoke.html"]
    assert "profile smoke" in pages["table4-smoke.tex"]
    assert "profile cpu" in pages["table4.tex"]
    assert pages["index.html"].count('href="table4-smoke.html"') == 1


def test_the_overview_says_the_scale_once_if_all_have_the_same(maker: StoreMaker, report: Page) -> None:
    run, figure = maker.run(seeds=(0,)), maker.run(figure8(), seeds=(0,))
    data = run.request.data
    assert _plain(report(run, figure, name="index.html")).count(data) == 1
    elsewhere = maker.load(figure.request.model_copy(update={"data": "other images"}))
    assert _plain(report(run, elsewhere, name="index.html")).count(data) > 1


def test_the_overview_lists_tables_before_figures_and_every_claim(maker: StoreMaker, report: Page) -> None:
    words = _plain(report(maker.run(figure8(), seeds=(0,)), maker.run(), name="index.html"))
    assert words.index("Claims 1 agrees 1 inconclusive") < words.index("Found here") < words.index("Seeds")
    assert words.index("table4 Ablation on") < words.index("figure8 Steps")
    assert words.count("rFID falls as the replacement ratio rises") == 2
    assert "rFID −0." in words
    assert "How to read this" in words
    assert "PSNR (dB) ↑ about PSNR" in words


def test_an_empty_store_has_an_overview(report: Page) -> None:
    assert "Nothing has been run yet" in report(name="index.html")


def test_an_experiment_without_claims_or_published_values_has_a_page(maker: StoreMaker, report: Page) -> None:
    rows = tuple(row.model_copy(update={"published": {}}) for row in EXPERIMENT.rows)
    bare = EXPERIMENT.model_copy(update={"rows": rows, "claims": ()})
    words = _plain(report(maker.run(bare, seeds=(0,))))
    assert "and what was found here" not in words
    assert "in the paper" not in words
    assert "rFID ↓ classifier@28" in words


def test_equal_inputs_give_equal_bytes_and_no_litter(maker: StoreMaker) -> None:
    run = maker.run(progress="partial")
    folder = build(maker.store.root, [run]).parent
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures._drawn.clear()
    build(maker.store.root, [maker.load(run.request)])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sorted(first) == ["index.html", "table4.csv", "table4.html", "table4.tex"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failed_write_leaves_the_old_page_and_no_draft(
    maker: StoreMaker, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    folder = build(maker.store.root, [maker.run(seeds=(0,))]).parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def half(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[: len(text) // 2].encode(encoding))
        raise failure

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(type(failure)):
        build(maker.store.root, [])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_rebuild_is_cheap(maker: StoreMaker) -> None:
    run = maker.run()
    build(maker.store.root, [run])
    again = maker.load(run.request)
    started = time.process_time()
    build(maker.store.root, [again])
    assert time.process_time() - started < 1.5


def test_a_page_that_cannot_be_built_stops_no_other(maker: StoreMaker, monkeypatch) -> None:
    good, bad = maker.run(), maker.run(EXPERIMENT.model_copy(update={"name": "table3"}))

    def render(entry: Any, *more: Any) -> str:
        if entry.name == "table3":
            raise ZeroDivisionError("a section of one's own")
        return "a page"

    monkeypatch.setattr(pages, "render_page", render)
    with pytest.raises(ZeroDivisionError) as raised:
        build(maker.store.root, [bad, good])
    assert raised.value.__notes__ == ["while building the page of table3"]
    folder = maker.store.root / "report"
    assert (folder / "table4.html").read_text() == "a page"
    assert "table4" in (folder / "index.html").read_text()
