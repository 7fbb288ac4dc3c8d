"""Bars on a terminal, plain lines elsewhere, and numbers for people."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from airkit.cli.bars import ASCII, BLOCKS, Bars, sparkline
from airkit.cli.output import tell_json
from airkit.cli.progress import Lines
from airkit.system.text import duration, size


def _trained(width: int, encoding: str = "utf-8") -> list[str]:
    """What a training shows on a terminal, without colours and cursor movements."""
    file = io.TextIOWrapper(io.BytesIO(), encoding)
    bars = Bars(Console(file=file, force_terminal=True, width=width, _environ={}))
    bars.note("a note, [bold]as it is[/bold]")
    bars.progress("training", 10, 2000)
    for step in range(1, 101):
        bars.progress("training", 10 + step, 2000)
        bars.row({"step": step, "elbo": 500.0 + step})
        if step % 10 == 0:
            bars.row({"step": step, "val_elbo": 1.0, "val_count_accuracy": step / 100})
    bars.progress("training", 2000, 2000)
    bars.stop()
    file.seek(0)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.read())
    return [line.rstrip() for line in plain.replace("\r", "\n").splitlines() if line.strip()]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_bars_and_curves_of_the_newest_metrics(width: int) -> None:
    lines = _trained(width)
    assert lines[0] == "a note, [bold]as it is[/bold]"
    assert max(map(len, lines)) <= width
    bar, elbo, count = lines[-3:]
    assert re.match(r"training [━╸╺ ]+ 2000/2000 ", bar)
    assert ("steps/s" in bar) == (width >= 60)
    curve = min(width - 12, 60)
    assert re.fullmatch(rf"ELBO  ▁[▁▂▃▄▅▆▇█]{{{curve - 2}}}█ 600\.0", elbo)
    assert count == "count ▁▂▃▃▄▅▆▆▇█ 100.0 %"


def test_curves_are_ascii_where_the_encoding_is() -> None:
    bar, elbo, count = _trained(40, "ascii")[-3:]
    assert re.match(r"training -+ 2000/2000 ", bar)
    assert re.fullmatch(r"ELBO  [_.:\-=+*#]{28} 600\.0", elbo)
    assert count == "count _.::-=++*# 100.0 %"


def test_a_sparkline_goes_from_least_to_greatest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], BLOCKS) == BLOCKS
    assert sparkline([-5.0, 2.0, -5.0], ASCII) == "_#_"
    assert sparkline([3.0, 3.0], BLOCKS) == "▁▁"


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is moved."""
    clock = [0.0]
    monkeypatch.setattr("airkit.cli.progress.time.monotonic", lambda: clock[0])
    return clock


def test_plain_lines_are_few(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    listener = Lines()
    for second in range(1, 25):
        clock[0] += 1
        listener.progress("canvases", second * 500, 12_000)
    told = capsys.readouterr().err.splitlines()
    assert told == [f"canvases: {it:,} of 12,000" for it in (3000, 5500, 8000, 10500, 12000)]


def test_the_end_of_a_task_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Pages of files go on after the last file."""
    listener = Lines()
    for done in (1, 2, 2, 2):
        listener.progress("surveying train", done, 2)
    assert capsys.readouterr().err == "surveying train: 2 of 2\n"


def test_rows_tell_the_speed(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    listener = Lines()
    for step in range(1, 51):
        listener.progress("training", step, 2500)
        clock[0] += 0.04
    listener.row({"step": 50, "elbo": 412.25, "loss": -412.25})
    listener.row({"step": 50, "val_elbo": 410.5, "val_count_accuracy": 0.9})
    assert capsys.readouterr().err == (
        "step 50 of 2500: ELBO 412.2, 24.5 steps/s, 0:01:40 left\n"
        "step 50 of 2500: validation ELBO 410.5, count accuracy 90.0 %\n"
    )


def test_a_second_training_has_its_own_speed_and_what_follows_is_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    listener = Lines()
    for second in (0.01, 0.1):
        for step in range(1, 51):
            listener.progress("training", step, 50)
            clock[0] += second * (step < 50)
        listener.row({"step": 50, "elbo": 1.0})
    listener.progress("evaluating", 60, 60)
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "step 50 of 50: ELBO 1.0, 10.0 steps/s, 0.0 s left", "evaluating: 60 of 60"
    ]  # fmt: skip


def test_a_second_bar_of_a_task_starts_anew() -> None:
    bars = Bars(Console(file=io.StringIO(), force_terminal=True, width=60, _environ={}))
    for done in (10, 20, 5):
        bars.progress("training", done, 20)
    assert [(task.completed, task.finished) for task in bars._bars.tasks] == [(5, False)]
    bars.stop()


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    tell_json({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": -float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": {"d": None}}


def test_durations_and_sizes_are_for_people() -> None:
    told = [duration(it) for it in (0.04, 59.94, 60, 3_725)]
    assert told == ["0.0 s", "59.9 s", "0:01:00", "1:02:05"]
    assert [size(it) for it in (999, 99_999, 1_250_000)] == ["999 bytes", "99,999 bytes", "1.2 MB"]
