"""Tables 1 and 2 order their systems; every order between neighbors is part of a claim."""

from __future__ import annotations

from itertools import pairwise

import pytest
from plans import SPECS


@pytest.mark.parametrize(("table", "metric"), [("table1", "rfid"), ("table2", "gfid")])
def test_claims_cover_the_whole_published_order(table: str, metric: str) -> None:
    spec = SPECS[table]
    published = {row.name: row.published[metric] for row in spec.trained_rows if metric in row.published}
    ordered = sorted(published, key=published.__getitem__)
    claimed = {
        (pair.left.row, pair.right.row)
        for claim in spec.claims
        for pair in claim.comparisons
        if pair.sign == "<"
    }
    assert [pair for pair in pairwise(ordered) if pair not in claimed] == []
