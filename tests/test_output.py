"""Results on terminals that are narrow: words and numbers are whole, labels stay beside values."""

from __future__ import annotations

import pytest

from airkit.cli.output import aligned, wrapped

ROWS = [
    ("run", "runs/air (runs/air/checkpoints/step-000002000.pt)"),
    ("count accuracy, 16 looks", "99.6 % (95 % interval 99.4 to 99.7)"),
    ("in doubt", "all 3 slots are in use on 34 % of the pictures; the count is certain to 73 %"),
]


def _words(text: str) -> list[str]:
    return text.replace(" %", "%").split()


@pytest.mark.parametrize("width", [20, 40, 50, 80, 200])
def test_no_word_and_no_number_is_broken(width: int) -> None:
    lines = aligned(ROWS, width)
    longest = max(len(word) for row in ROWS for word in _words(" ".join(row)))
    assert max(map(len, lines)) <= max(width, longest + 26)
    known = {word for row in ROWS for word in _words(" ".join(row))}
    assert {word for line in lines for word in _words(line)} == known
    assert not any(line.lstrip().startswith("%") for line in lines)


def test_a_pipe_gets_one_line_a_row() -> None:
    lines = aligned(ROWS, None)
    assert len(lines) == len(ROWS)
    assert lines[0] == f"run                       {ROWS[0][1]}"


def test_values_stand_below_labels_where_there_is_no_room_beside_them() -> None:
    assert aligned(ROWS[:2], 45)[:2] == ["run", f"  {ROWS[0][1].split()[0]}"]
    assert aligned(ROWS[1:2], 60) == [
        f"{ROWS[1][0]}  99.6 % (95 % interval 99.4 to",
        " " * 26 + "99.7)",
    ]


def test_lines_that_go_on_are_indented() -> None:
    told = wrapped("  where     " + "a-long-folder/" * 3 + " and more of it", 40, " " * 12)
    assert all(line.startswith(("  where", " " * 12)) for line in told.splitlines())
