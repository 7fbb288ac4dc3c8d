"""The table of counts never trained on."""

from __future__ import annotations

from typing import Any

import paper_tables


def row(seed: int, *counts: tuple[int, int, int, int], looks: int = 16) -> dict[str, Any]:
    keys = ("digits", "canvases", "right_one_look", "right")
    return {
        "preset": "default",
        "trained_on": {"canvas": 50, "counts": [0, 1, 2]},
        "seed": seed,
        "canvas": 80,
        "looks": looks,
        "counts": [dict(zip(keys, count, strict=True)) for count in counts],
    }


def test_the_table_has_every_seed_and_the_interval_of_the_worst() -> None:
    heads, rows = paper_tables.unseen(
        [row(0, (2, 50, 50, 50), (3, 100, 90, 98)), row(1, (2, 50, 49, 50), (3, 100, 88, 95))]
    )
    assert {len(heads)} == set(map(len, rows))
    model = ("default", "0, 1 and 2 digits, 50 px", "80 px")
    assert rows == [
        (*model, "2", "yes", "50", "100.0, 98.0 %", "100.0, 100.0 %", "92.9 to 100.0 %"),
        (*model, "3", "no", "100", "90.0, 88.0 %", "98.0, 95.0 %", "88.8 to 97.8 %"),
    ]


def test_the_table_tells_what_is_missing() -> None:
    """The best of several looks where there was one, and what was refused."""
    (only,) = paper_tables.unseen([row(0, (3, 100, 88, 88), looks=1)])[1]
    assert only[-3:] == ("88.0 %", "", "80.2 to 93.0 %")
    refused = {**row(0), "refused": "no"}
    heads, (only,) = paper_tables.unseen([refused, {**refused, "seed": 1}])
    assert only[2:] == ("80 px", "any", "", "", "refused", "refused", "")
    assert len(heads) == len(only)
