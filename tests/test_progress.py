"""Bars on a terminal, plain lines elsewhere, and the words for results."""

from __future__ import annotations

import io
import json
import sys

import pytest
from rich.console import Console

from airkit.cli.bars import Bars
from airkit.cli.lines import Lines
from airkit.cli.output import duration, size, tell_json
from airkit.cli.progress import listening


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with listening() as listener:
        assert isinstance(listener, Lines)
    monkeypatch.setattr(sys, "stderr", _Terminal())
    with listening() as listener:
        assert isinstance(listener, Bars)
    monkeypatch.setenv("TERM", "dumb")
    with listening() as listener:
        assert isinstance(listener, Lines)


def test_bars_show_the_newest_metrics() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, no_color=True)
    with Bars(console) as bars:
        bars.note("a note, [bold]as it is[/bold]")
        bars.progress("training", 10, 100)
        bars.row({"step": 10, "elbo": 612.34})
        bars.row({"step": 10, "val_elbo": 1.0, "val_count_accuracy": 0.975})
        bars.progress("training", 20, 100)
    assert "a note, [bold]as it is[/bold]\n" in screen.getvalue()
    assert "20/100 ELBO 612.3  count 97.5 %" in screen.getvalue()


def test_plain_lines_are_few(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("airkit.cli.lines.time.monotonic", lambda: now)
    listener = Lines()
    for second in range(1, 25):
        now += 1
        listener.progress("canvases", second * 500, 12_000)
    told = capsys.readouterr().err.splitlines()
    assert told == [f"canvases: {it:,} of 12,000" for it in (3000, 5500, 8000, 10500, 12000)]


def test_rows_tell_the_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("airkit.cli.lines.time.monotonic", lambda: now)
    listener = Lines()
    for step in range(1, 51):
        listener.progress("training", step, 2500)
        now += 0.04
    listener.row({"step": 50, "elbo": 412.25, "loss": -412.25})
    listener.row({"step": 50, "val_elbo": 410.5, "val_count_accuracy": 0.9})
    assert capsys.readouterr().err == (
        "step 50 of 2500: ELBO 412.2, 24.5 steps/s, 0:01:40 left\n"
        "step 50 of 2500: validation ELBO 410.5, count accuracy 90.0 %\n"
    )


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    tell_json({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": -float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": {"d": None}}


def test_durations_and_sizes_are_for_people() -> None:
    assert [duration(it) for it in (0.04, 59.94, 60, 3_725)] == [
        "0.0 s",
        "59.9 s",
        "0:01:00",
        "1:02:05",
    ]
    assert [size(it) for it in (999, 99_999, 1_250_000)] == ["999 bytes", "99,999 bytes", "1.2 MB"]
