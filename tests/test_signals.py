"""Ctrl-C, SIGTERM, a closed terminal: when they act, what they leave, what commands say."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from command_line import run
from idx_files import mnist_like, write_folder
from tiny_runs import DATA, Recorder, data_file, fit, interrupt, state, tree

from airkit.data.make import make_data
from airkit.runs.folder import RunFolder
from airkit.system.files import replacing, write_text
from airkit.system.signals import STOPPING, defer_signals, stop_on_signals

EACH = pytest.mark.parametrize("number", STOPPING)
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
"""In place of ``EACH`` where each takes a process."""


@pytest.fixture(name="told")
def _told() -> Iterator[list[int]]:
    """Signals that came through to this process's own handlers."""
    told: list[int] = []
    before = {it: signal.signal(it, lambda number, frame: told.append(number)) for it in STOPPING}
    yield told
    for number, handler in before.items():
        signal.signal(number, handler)


@EACH
def test_a_signal_waits_until_a_file_is_whole(tmp_path: Path, told: list[int], number: int) -> None:
    with replacing(tmp_path / "file") as partial:
        signal.raise_signal(number)
        partial.write_text("whole")
        assert told == []
    assert told == [number]
    assert (tmp_path / "file").read_text() == "whole"


def test_the_default_of_ctrl_c_comes_late_as_well(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as partial:  # noqa: PT012
        interrupt()
        partial.write_text("whole")
    assert tree(tmp_path) == ["file"]


def test_holding_twice_hands_on_once(told: list[int]) -> None:
    with defer_signals() as outer:
        with defer_signals() as inner:
            signal.raise_signal(signal.SIGTERM)
            assert (inner.asked, outer.asked) == (True, False)
        assert outer.asked
        with pytest.raises(KeyboardInterrupt):
            outer.check()
    assert told == [signal.SIGTERM]


def test_an_ignored_signal_stays_ignored(told: list[int]) -> None:
    """As SIGINT is for what a shell script runs in its background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signals() as request:
        signal.raise_signal(signal.SIGINT)
        assert not request.asked
        signal.raise_signal(signal.SIGTERM)
        assert request.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_hold_nothing(tmp_path: Path, told: list[int]) -> None:
    thread = threading.Thread(target=write_text, args=(tmp_path / "file", "whole"))
    thread.start()
    thread.join()
    assert (tmp_path / "file").read_text() == "whole"


class Interrupting(Recorder):
    """Sends a signal at the first report of progress."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def progress(self, task: str, done: int, total: int) -> None:
        if task.endswith("canvases") and self.number:
            number, self.number = self.number, 0
            signal.raise_signal(number)


@EACH
@pytest.mark.parametrize("old", [True, False])
def test_make_data_stops_between_canvases(
    tmp_path: Path, told: list[int], number: int, old: bool
) -> None:
    digits = write_folder(tmp_path / "digits", mnist_like())
    path = tmp_path / "out" / "data.h5"
    if old:
        write_text(path, "old")
    given: dict[str, Any] = {**DATA, "data.source": str(digits)}
    with pytest.raises(KeyboardInterrupt):
        make_data(path, settings=given, listener=Interrupting(number), force=True)
    assert tree(tmp_path / "out") == (["data.h5"] if old else [])
    assert not old or path.read_text() == "old"


def test_a_training_is_asked_before_its_first_step(tmp_path: Path) -> None:
    """While it reads the data: its settings are kept, and the next call begins."""

    class Early(Recorder):
        def note(self, text: str) -> None:
            if "stopped" not in text:
                interrupt()

    report = fit(tmp_path, listener=Early(), data__train=7)
    assert (report.steps, report.stopped, state(tmp_path, 0).step) == (0, True, 0)
    assert tree(tmp_path) == ["checkpoints/step-000000000.pt", "config.toml"]


@EACH
def test_a_training_saves_and_stops(tmp_path: Path, number: int) -> None:
    report = fit(tmp_path, listener=Recorder(step3=lambda: signal.raise_signal(number)))
    assert (report.steps, report.stopped, state(tmp_path, 3).step) == (3, True, 3)


# The command line


def test_a_training_whose_terminal_is_closed(tmp_path: Path) -> None:
    """It loses its terminal, too: what it writes there from then on is lost."""
    ours, theirs = pty.openpty()
    place = tmp_path / "run"
    words = ["train", "--data", data_file(), "--run", place, "--set", "train.log_every=1"]
    process = forks.start(ON_A_TERMINAL, *words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    told = b""
    while b"step 2" not in told:
        told += os.read(ours, 65536)
    os.close(ours)
    assert process.wait() == 130
    (*_, last) = RunFolder(place).saved()
    assert 2 <= state(place, int(last.stem.removeprefix("step-"))).step < 2000


@EACH
def test_commands_say_that_they_were_interrupted(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("airkit.data.sources.load", lambda *given: signal.raise_signal(number))
    result = run("make-data", "--source", "strokes")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "airkit: interrupted\n")
    assert list(home.iterdir()) == []


ON_A_TERMINAL = """
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.environ["TERM"] = "dumb"
import airkit.cli
airkit.cli.run()
"""
AT_IMPORT = """
import contextlib, signal, sys
import airkit.cli

module, number, *sys.argv[1:] = sys.argv[1:]

class Interrupting:
    def find_spec(self, name, *rest):
        if name == module:
            with contextlib.suppress(KeyboardInterrupt):  # as compiled modules may
                signal.raise_signal(int(number))

sys.meta_path.insert(0, Interrupting())
"""
IN_THE_END_OF_AN_OBJECT = """
import signal, sys
import airkit.cli, airkit.settings
number = int(sys.argv.pop())

class Ending:
    def __del__(self):
        signal.raise_signal(number)

def presets(before=airkit.settings.presets):
    Ending()
    return before()

airkit.settings.presets = presets
"""
AT_THE_END = """
import atexit, signal, sys
import airkit.cli
atexit.register(signal.raise_signal, int(sys.argv[1]))
sys.argv[1:] = ["--version"]
"""


def cli(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fresh process, after a script has tampered with it."""
    command = [sys.executable, "-c", f"{script}\nairkit.cli.run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("module", "number"),
    [
        *(("typer", number) for number in STOPPING),
        ("airkit.config.settings", signal.SIGINT),
        ("torch", signal.SIGTERM),
        ("torch.nn.functional", signal.SIGINT),
    ],
)
def test_interrupted_while_it_loads(module: str, number: int, tmp_path: Path) -> None:
    command = ["train", "--data", data_file(), "--run", tmp_path / "run"]
    done = cli(AT_IMPORT, module, int(number), *command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "airkit: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_interrupted_where_no_exception_can_go(number: int) -> None:
    """Python prints an exception of ``__del__`` or a weak reference's callback, and goes on."""
    done = cli(IN_THE_END_OF_AN_OBJECT, "config", "presets", int(number))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "airkit: interrupted\n")


@BOTH
def test_a_signal_after_the_work_comes_too_late(number: int) -> None:
    done = cli(AT_THE_END, int(number))
    assert (done.returncode, done.stdout[:7], done.stderr) == (0, "airkit ", "")


def test_a_full_disk_behind_stdout() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    for command in (["--version"], ["config", "show"]):
        with open("/dev/full", "w") as full:  # noqa: PTH123
            done = subprocess.run(
                [sys.executable, "-m", "airkit", *command],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr.startswith("airkit: Cannot write the result\n")
        assert "  got       No space left on device\n" in done.stderr
