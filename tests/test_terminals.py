"""What commands write to narrow, plain and colourless terminals, and to pipes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

import forks
import pytest
from command_line import set_up
from idx_files import mnist_like, write_folder

from airkit.cli.progress import moves_cursor

COMMANDS = (
    "make-data --preset tiny --source digits --train 40 --val 8 --test 8 --out o.h5 --force",
    "train --steps 4 --fresh --set train.log_every=1 --set train.val_every=2",
    "eval --looks 1",
    "infer canvas.npy --looks 1",
    "render --kind reconstructions",
    "report --looks 1",
    "sweep --seeds 1 --steps 2 --looks 1 --fresh",
    "info multi-mnist.h5 --verify",
    "export multi-mnist.h5 --out coco --force",
    "config presets",
    "completion bash",
    "train --data nowhere.h5 --run runs/none",
)
SOME_FIRST = [
    *COMMANDS[:3],
    *(pytest.param(command, marks=pytest.mark.slow) for command in COMMANDS[3:]),
]
"""All of them, a quarter in the default suite: each is a process of seconds."""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?[349][0-7](?:;[0-9;]*)?m")
HUE = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:[39][1-6]|38;[0-9;]+)m")


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = set_up(tmp_path_factory.mktemp("work"))
    write_folder(folder / "digits", mnist_like())
    return folder


def on_terminal(folder: Path, command: str, columns: int = 40, **environment: str) -> str:
    """What a command writes to the terminal that its stderr is; stdout is a pipe."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    usual = {"TERM": "xterm-256color", "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    env = {**os.environ, **usual, **environment}
    with open(os.devnull, "r+") as nothing:  # noqa: PTH123
        files = {"stdin": nothing.fileno(), "stdout": nothing.fileno(), "stderr": theirs}
        process = forks.start(forks.COMMAND, *command.split(), cwd=folder, env=env, **files)
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait()
    return written.decode()


@pytest.mark.parametrize("command", SOME_FIRST)
def test_nothing_of_a_terminal_is_in_a_pipe(work: Path, command: str) -> None:
    env = {**os.environ, "COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = forks.airkit(*command.split(), cwd=work, env=env)
    assert done.returncode == (1 if "nowhere" in command else 0), done.stderr
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text or command.startswith("completion")
        assert not set("━▁▂▃▄▅▆▇█") & set(text)


@pytest.mark.parametrize("command", COMMANDS[:2])
def test_a_narrow_terminal_has_bars_and_curves(work: Path, command: str) -> None:
    told = on_terminal(work, command)
    plain = ESCAPE.sub("", told)
    lines = plain.replace("\r", "\n").splitlines()
    assert any("━" in line for line in lines)
    assert max(map(len, lines)) <= 40
    assert "\x1b[1m" in told, "the bar is bold"
    assert not HUE.search(told), "and of no hue: green or cyan would be faint on white"
    if command.startswith("train"):
        assert re.search(r"ELBO +[▁▂▃▄▅▆▇█]+ -?\d", plain)
        assert re.search(r"count [▁▂▃▄▅▆▇█]+ \d+\.\d %", plain)


@pytest.mark.parametrize("command", SOME_FIRST)
def test_a_dumb_terminal_has_plain_lines(work: Path, command: str) -> None:
    told = on_terminal(work, command, TERM="dumb")
    assert "\x1b" not in told
    assert not set("━▁▂▃▄▅▆▇█") & set(told)


def test_a_notebook_has_a_line_a_row(work: Path) -> None:
    """Its terminal shows one frame of a bar below the other."""
    told = on_terminal(work, COMMANDS[1], TERM="xterm-color", JPY_PARENT_PID="7", FORCE_COLOR="1")
    assert not set("\x1b━▁▂▃▄▅▆▇█") & set(told)
    assert len([line for line in told.splitlines() if line.startswith("step ")]) == 4 + 2


@pytest.mark.parametrize(
    ("environment", "moves"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-color", "PAGER": "less"}, True),
        ({"TERM": "xterm-256color", "PAGER": "cat"}, True),
        ({}, True),
        ({"TERM": "xterm-color", "PAGER": "cat", "GIT_PAGER": "cat"}, False),
        ({"TERM": "xterm-256color", "JPY_PARENT_PID": "41"}, False),
        ({"TERM": "unknown"}, False),
    ],
)
def test_which_terminals_move_the_cursor(environment: dict[str, str], moves: bool) -> None:
    assert moves_cursor(environment) == moves


def test_a_terminal_without_colour_and_other_letters(work: Path) -> None:
    told = on_terminal(work, COMMANDS[1], PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert "training -" in ESCAPE.sub("", told)
    assert "ELBO" in told
    assert told.isascii()
    assert not COLOUR.search(told)
