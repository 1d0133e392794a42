"""Claims as they are shown: sides, differences, intervals; and as text, CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from stored_runs import CLASSIFIER, LITE, like_table4, with_rows

from experiments.paper.table4 import EXPERIMENT
from experiments.paper.table6 import EXPERIMENT as WITHOUT_CLAIMS
from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.frame import by_seed, select
from experiments.records.verdicts import judge
from reports.claims import Compared, compared, found, tally
from reports.export import to_csv, to_json
from reports.verdicts import FIELDS, verdict_frame, verdict_markdown, verdict_text

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def comparisons(
    maker: StoreMaker, order: str = "", seeds: tuple[int, ...] = (0, 1, 2), measure: Any = like_table4
) -> list[Compared]:
    """Of Table 4's claim in the primary feature space."""
    claim = EXPERIMENT.claims[0]
    changed = claim.model_copy(update={"order": (order,)} if order else {})
    run = maker.run(with_rows(EXPERIMENT, claims=(changed,)), seeds=seeds, measure=measure)
    return compared(run, judge(run)[0])


def with_levels(maker: StoreMaker, seeds: tuple[int, ...], **levels: float) -> Run:
    """A run of Table 4 in which rFID is as given, by the last digits of the row's name."""

    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        numbers = like_table4(row, seed)
        return [
            each | {"value": levels["r" + row[-3::2]]} if each["metric"] == "rfid" else each
            for each in numbers
        ]

    return maker.run(seeds=seeds, measure=measure)


def test_a_comparison_shows_sides_difference_and_interval(maker: StoreMaker) -> None:
    run = maker.run()
    first, second = compared(run, judge(run)[0])
    assert (first.left, first.right, first.at) == ("SFTok-B, ratio 1.0", "SFTok-B, ratio 0.8", "T=8")
    assert (first.published, second.published) == ("−0.26", "−0.37")
    assert first.difference.startswith("−0.")
    assert first.interval.startswith("[−0.")
    expected = "; ".join(f"{item.difference} {item.interval}" for item in (first, second))
    assert found(run, judge(run)[0]) == expected


def test_plots_of_a_verdict_share_one_scale(maker: StoreMaker) -> None:
    plots = [item.plot for item in comparisons(maker)]
    ends = [end for plot in plots if plot for end in (plot.low, plot.high) if end is not None]
    assert (len(ends), max(map(abs, ends))) == (4, 1.0)
    assert all(plot and plot.claimed_side == -1 and plot.mean < 0 for plot in plots)


def test_places_and_metrics_are_named_on_each_side_if_they_differ(maker: StoreMaker) -> None:
    (item,) = comparisons(maker, "ratio-1.0@8 > ratio-1.0@1")
    assert (item.left, item.right, item.at) == ("SFTok-B, ratio 1.0, T=8", "SFTok-B, ratio 1.0, T=1", "")
    assert item.published == "", "the paper's values hold at eight steps"
    assert item.plot is not None
    assert item.plot.claimed_side == 1
    (odd,) = comparisons(maker, "ratio-1.0:rfid@8 < ratio-1.0:psnr@8", seeds=(7,))
    assert (odd.left, odd.right, odd.at) == ("SFTok-B, ratio 1.0, rFID", "SFTok-B, ratio 1.0, PSNR", "T=8")


def test_one_seed_has_a_point_no_interval_and_a_remedy(maker: StoreMaker, report: Callable[..., str]) -> None:
    run = maker.run(seeds=(0,))
    first = compared(run, judge(run)[0])[0]
    assert first.interval == ""
    assert first.plot is not None
    assert (first.plot.low, first.plot.high) == (None, None)
    cost, command = "3 seeds, about 50 min more", "python -m experiments run table4 --seeds 3"
    assert f"  to decide claims that lack seeds: {cost}: {command}\n" in verdict_text([run])
    page = report(run)
    assert f"What would decide: {cost}:" in page
    assert f"<code>{command}</code>" in page
    assert f"to decide: <code>{command}</code>" in report(run, name="index.html")


def test_the_tally_counts_the_primary_feature_space(maker: StoreMaker) -> None:
    assert tally(judge(maker.run())) == {"agrees": 1}
    assert tally(judge(maker.run(seeds=(0,)))) == {"inconclusive": 1}
    assert tally(()) == {}


def test_a_line_is_a_comparison_in_a_feature_space(maker: StoreMaker) -> None:
    run = maker.run()
    frame = verdict_frame([run])
    sides = frame[["left", "sign", "right", "extractor", "primary"]]
    assert list(sides.itertuples(index=False, name=None)) == [
        ("ratio-1.0:rfid@8", "<", "ratio-0.8:rfid@8", CLASSIFIER, True),
        ("ratio-0.8:rfid@8", "<", "ratio-0.5:rfid@8", CLASSIFIER, True),
        ("ratio-1.0:rfid@8", "<", "ratio-0.8:rfid@8", LITE, False),
        ("ratio-0.8:rfid@8", "<", "ratio-0.5:rfid@8", LITE, False),
    ]
    at = {"metric": "rfid", "extractor": CLASSIFIER, "steps": 8}
    left, right = (by_seed(select(run.frame, row=row, **at)) for row in ("ratio-1.0", "ratio-0.8"))
    expected = estimate([left[seed] - right[seed] for seed in run.request.seeds])
    first = frame.iloc[0]
    assert (first["difference"], first["low"], first["high"]) == (expected.mean, expected.low, expected.high)
    assert (first["seeds"], first["verdict"], first["table"]) == ("0 1 2", "agrees", "table4")


def test_csv_gives_every_field_back(maker: StoreMaker) -> None:
    runs = [maker.run(), maker.run(seeds=(4,))]
    read = list(csv.DictReader(io.StringIO(to_csv(verdict_frame(runs)))))
    written = verdict_frame(runs)
    assert tuple(read[0]) == FIELDS
    assert [float(record["difference"]) for record in read] == list(written["difference"])
    assert [record["low"] for record in read[4:]] == [""] * 4
    assert [record["seeds"] for record in read] == ["0 1 2"] * 4 + ["4"] * 4
    assert {record["outcome"] for record in read[4:]} == {"inconclusive"}
    assert to_csv(verdict_frame([])) == ",".join(FIELDS) + "\n"


def test_json_is_valid_and_complete(maker: StoreMaker) -> None:
    diverged = with_levels(maker, (0, 1, 2), r05=math.nan, r08=2.0, r10=1.0)
    read = json.loads(to_json(verdict_frame([diverged])), parse_constant=pytest.fail)
    assert [record["difference"] is None for record in read] == [False, True, False, True]
    assert "not a finite number" in read[1]["reason"]
    assert read[0]["difference"] == -1.0


def test_the_text_has_each_claim_with_its_numbers_and_the_papers(maker: StoreMaker) -> None:
    run = maker.run()
    text = verdict_text([run])
    lines = text.splitlines()
    assert lines[0] == "table4 (Table 4, Section 4.4), profile cpu, seeds 0, 1, 2"
    assert lines[1].endswith(f"agrees: {EXPERIMENT.claims[0].text}")
    assert "      SFTok-B, ratio 1.0 minus SFTok-B, ratio 0.8, T=8: −0." in text
    assert "; in the paper −0.26" in text
    assert f"    rFID ({LITE}): agrees. " in text
    assert "mean nothing" not in text
    assert "to decide" not in text


def test_the_text_of_what_is_missing_or_means_nothing(maker: StoreMaker) -> None:
    waiting = maker.run(progress="waiting", meaningless=True, profile="smoke")
    text = verdict_text([waiting, maker.run(WITHOUT_CLAIMS)])
    assert "profile smoke, seeds 0, 1, 2; the numbers of this profile mean nothing" in text
    assert "… pending" in text
    assert "T=8: no number yet" in text
    assert "  makes no claim\n" in text


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        ((3.0, 2.0, 1.0), "one seed, as claimed"),
        ((2.5, 3.0, 1.0), "one seed, the other way"),
        ((2.0, 2.0, 0.0), "one seed, level"),
        ((math.nan, 2.0, 0.0), "inconclusive"),
    ],
)
def test_one_seed_points_a_way_if_all_its_comparisons_do(
    maker: StoreMaker, levels: tuple[float, float, float], word: str
) -> None:
    run = with_levels(maker, (0,), **dict(zip(("r05", "r08", "r10"), levels, strict=True)))
    line = verdict_markdown([run]).splitlines()[2]
    assert line.endswith(f"| 1 | {word} |")
    assert f"rFID {-1 if 'as' in word else -2}".replace("-", "−") in line


def test_markdown_has_a_line_a_claim_in_the_primary_space(maker: StoreMaker) -> None:
    waiting = maker.run(seeds=(7,), progress="waiting", meaningless=True)
    header, rule, whole, empty = verdict_markdown([maker.run(), waiting]).splitlines()
    assert len({each.count("|") for each in (header, rule, whole, empty)}) == 1
    assert whole.startswith(f"| table4 | {EXPERIMENT.claims[0].text} | rFID −0.")
    assert whole.endswith("| 3 | **agrees** |")
    assert empty.endswith("|  | 0 | pending (the numbers of this profile mean nothing) |")


def test_a_claim_cannot_break_a_cell(hostile: Callable[[str], Run]) -> None:
    assert r"| a \| b c |" in verdict_markdown([hostile("a | b\nc")]).splitlines()[2]
