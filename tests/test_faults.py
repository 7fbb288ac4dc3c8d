"""Full disks, folders that cannot be written, names too long, files that vanish, odd clocks."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import forks
import numpy as np
import pytest
from command_line import commands, fails
from idx_files import mnist_like, write_folder
from tiny_runs import (
    DATA,
    STEPS,
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    folder,
    go_on,
    interrupt,
    metrics,
    reference,
    state,
    trained,
    tree,
)

import airkit
from airkit.config.settings import spelled
from airkit.runs import checkpoint as checkpoints
from airkit.runs.checkpoint import Best, Checkpoint
from airkit.runs.folder import RunFolder

# Disks and streams that take nothing

FULL = 'mount -t tmpfs -o size=4k airkit "$1"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
ALONE = """
import ctypes, os, subprocess
from pathlib import Path

ids = {{"uid": os.getuid(), "gid": os.getgid()}}
assert ctypes.CDLL(None).unshare(0x10000000 | 0x00020000) == 0  # users and mounts
Path("/proc/self/setgroups").write_text("deny")
for name, number in ids.items():
    Path(f"/proc/self/{{name}}_map").write_text(f"0 {{number}} 1")
subprocess.run(["sh", "-c", {mount!r}, "sh", {disk!r}], check=True)
"""
"""What ``unshare --mount --map-root-user`` does, and a mount."""
SMALL_FILES = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({size}, {size}))"


def cli(*words: object, prologue: str = "", **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, after a line of Python."""
    return forks.run(f"{prologue}\n{forks.COMMAND}", *words, **streams)


def mounted(mount: str, disk: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line with a disk mounted, which it alone sees; may skip the test."""
    disk.mkdir(exist_ok=True)
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*alone, mount, "sh", disk], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("mounting is not allowed here")
    return cli(*words, prologue=ALONE.format(mount=mount, disk=str(disk)))


@pytest.mark.parametrize("name", ["make-data", "train", "render", "export"])
@pytest.mark.parametrize(
    ("mount", "reason"),
    [(FULL, "No space left on device"), (READ_ONLY, "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing(tmp_path: Path, mount: str, reason: str, name: str) -> None:
    disk, run = tmp_path / "disk", reference()
    digits = write_folder(tmp_path / "digits", mnist_like())
    words: dict[str, list[object]] = {
        "make-data": ["--preset", "tiny", "--source", digits, "--out", disk / "data.h5"],
        "train": ["--data", data_file(), "--run", disk],
        "render": ["--run", run, "--out", disk / "a.png", "--kind", "data"],
        "export": [run, "--out", disk / "out"],
    }
    done = mounted(mount, disk, name, *words[name])
    assert done.returncode == 1, done.stderr
    what, where, got, hint = done.stderr[done.stderr.index("airkit: ") :].splitlines()
    assert what.startswith("airkit: Cannot write")
    assert where.startswith(f"  where     {disk}")
    assert got == f"  got       {reason}"
    assert hint.startswith("  try       ")


def test_readers_of_a_read_only_run(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    done = mounted(READ_ONLY, run, "eval", "--run", run, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count_accuracy"] == airkit.evaluate(run).count_accuracy


def test_a_picture_that_grows_too_large(tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    out.write_bytes(b"old")
    words = ["render", "--run", reference(), "--out", out, "--kind", "data"]
    done = cli(*words, prologue=SMALL_FILES.format(size=1000))
    assert done.stderr.startswith(f"airkit: Cannot write a file\n  where     {out}\n")
    assert (done.returncode, out.read_bytes()) == (1, b"old")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_result_that_grows_too_large(tmp_path: Path, unbuffered: str) -> None:
    with (tmp_path / "result.json").open("w") as file:
        done = cli(
            *("eval", "--run", reference(), "--json"),
            prologue=SMALL_FILES.format(size=100),
            stdout=file.fileno(),
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert "airkit: Cannot write the result\n  where     standard output\n" in done.stderr


def test_notes_that_cannot_be_written_end_no_training(tmp_path: Path) -> None:
    given = [word for key in TRAIN for word in ("--set", f"{key}={spelled(TRAIN[key])}")]
    with Path("/dev/full").open("w") as full:
        done = cli(
            "train", "--data", data_file(), "--run", tmp_path / "run", *given, stderr=full.fileno()
        )
    assert (done.returncode, done.stdout[:4]) == (0, "run ")
    assert_as_if_never_stopped(tmp_path / "run")


def unread() -> IO[bytes]:
    """A pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return open(theirs, "wb")  # noqa: PTH123


def test_an_error_that_nobody_reads_has_its_exit_code() -> None:
    with unread() as pipe:
        assert cli("config", "check", stderr=pipe.fileno()).returncode == 2


def test_a_command_needs_no_stderr() -> None:
    command = [sys.executable, "-m", "airkit", "info", str(data_file())]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2), text=True, check=False
    )
    assert (done.returncode, done.stdout[:10]) == (0, "data file ")


# Names

LONG = "n" * 300
PATHS = [
    (command, parameter.opts[0], parameter.metavar)
    for command, it in commands().items()
    for parameter in it.params
    if re.search("FILE|DIR|PATH|IMAGES|RUN", parameter.metavar or "")
]
"""Every option and argument, under its command, that takes a file or a folder."""


EXPECT: list[object] = ["--most-objects", "2", "--object-size", "9"]


def _whole(command: str, option: str) -> list[object]:
    """A command line that works but for the name too long."""
    endings = {"render": ".png", "report": ".html", "predict": ".csv"}
    name = LONG + endings.get(command, "") * (option == "--out")
    data: list[object] = ["--data", data_file()]
    run: list[object] = ["--run", reference()]
    needed: dict[str, list[object]] = {
        "make-data": ["--preset", "tiny", "--source", write_folder(folder(), mnist_like())],
        "train": data,
        "sweep": data,
        "infer": [folder() / "canvas.npy", *run],
        "export": [reference(), "--out", "out"],
        "predict": [reference(), "--out", "out.csv"],
        "config show": [],
        "import": [f"{data_file()}:/test/image", *EXPECT],
        "reproduce": ["paper"],
        "score": [*data, "--predictions", folder() / "counts.npy"],
    }
    if not option.startswith("--"):
        out: list[object] = ["--out", "out.csv"]
        if command == "reproduce":
            return [command, "paper", name]
        rest = {"infer": run, "export": out, "import": EXPECT, "predict": out}
        return [*command.split(), name, *rest.get(command, [])]
    return [*command.split(), *needed.get(command, run), option, name]


@pytest.mark.parametrize(("command", "option", "metavar"), PATHS)
def test_a_name_too_long_is_one_message(
    home: Path, command: str, option: str, metavar: str
) -> None:
    np.save(folder() / "canvas.npy", np.zeros((24, 24), np.uint8))
    np.save(folder() / "counts.npy", np.zeros(20, np.uint8))
    told = fails(*_whole(command, option))
    assert told.count("airkit: ") == 1
    assert LONG in told
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("command", "option", "metavar"), PATHS)
def test_an_empty_name_is_one_message(home: Path, command: str, option: str, metavar: str) -> None:
    """As that of a variable that is not set; it would be the current folder."""
    named = option.startswith("--")
    first = {("predict", "IMAGES..."): ["run"], ("reproduce", "DIR"): ["paper"]}
    before = first.get((command, metavar), [])
    told = fails(*command.split(), *before, *([option] if named else []), "")
    assert told.startswith("airkit: A path is empty\n")
    assert f"  where     {option if named else metavar}\n" in told
    assert list(home.iterdir()) == []


def test_every_option_that_is_made_a_path_is_found() -> None:
    assert {("info", "path"), ("config check", "file")} <= {names[:2] for names in PATHS}
    for command, it in commands().items():
        for parameter in it.params:
            if parameter.type_descriptor.annotation in (Path, list[Path]):
                assert (command, parameter.opts[0], parameter.metavar) in PATHS


def test_a_link_to_itself_is_no_run(home: Path) -> None:
    Path("loop").symlink_to("loop")
    told = fails("report", "--run", reference(), "--run", "loop")
    assert "There is no trained run here\n  where     loop\n" in told
    assert "  got       a link to nothing\n" in told


# Clocks


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_clocks_that_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """A day back, or on, each time that someone asks: durations are true all the same."""
    jumps = itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + jump * next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * (1.8e9 + jump * next(jumps))))
    began = time.perf_counter()
    digits = write_folder(tmp_path / "digits", mnist_like())
    made = airkit.make_data(tmp_path / "data.h5", settings={**DATA, "data.source": str(digits)})
    fit(tmp_path / "run", listener=Recorder(step10=interrupt))
    report = go_on(tmp_path / "run")
    measures = airkit.evaluate(tmp_path / "run")
    passed = time.perf_counter() - began
    told = [row["seconds"] for row in RunFolder(tmp_path / "run").rows() if "seconds" in row]
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= report.seconds + 0.001
    assert min(made.seconds, report.seconds, measures.seconds) > 0
    assert made.seconds + report.seconds + measures.seconds < passed
    assert_as_if_never_stopped(tmp_path / "run")


# A process that was killed, or is at work, between two files


def test_a_training_killed_after_its_last_checkpoint_is_completed(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    (run / "best.json").unlink()
    (run / "config.toml").write_text("# of an older call\n")
    for name in ("best.json.part", "config.toml.part", "metrics.jsonl.part"):
        (run / name).write_text("half")
    shutil.copy(RunFolder(run).file(16), RunFolder(run).file(12))
    assert go_on(run).resumed_from == STEPS
    assert tree(run) == tree(reference())
    for name in ("best.json", "config.toml"):
        assert (run / name).read_bytes() == (reference() / name).read_bytes()
    assert metrics(run) == metrics(reference())


@pytest.mark.parametrize("begins", [True, False])
def test_no_half_written_file_is_left(tmp_path: Path, begins: bool) -> None:
    """Not even of files that are not written again, as where there is no best checkpoint."""
    run = RunFolder(trained(tmp_path / "run"))
    for name in ("best.json", "config.toml", "metrics.jsonl", "checkpoints/step-000000022.pt"):
        (run.path / f"{name}.part").write_text("half")
    without_best = Checkpoint(**{**vars(state(run.path)), "best": None})
    (run.start if begins else run.rewind)(without_best)
    assert [name for name in tree(run.path) if name.endswith(".part")] == []


@pytest.mark.parametrize(("name", "read"), [("last", STEPS), ("best", 16)])
def test_a_checkpoint_may_be_pruned_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: int
) -> None:
    """A training replaces it by a later one just then, which is read instead, without a note."""
    run = RunFolder(trained(tmp_path / "run"))
    newest = vars(state(run.path))
    checkpoints.write(run.file(STEPS), Checkpoint(**{**newest, "best": Best(16, 1.0, 1.0)}))
    later = Checkpoint(**{**newest, "step": 99, "best": Best(99, 2.0, 1.0)})
    original = checkpoints.read

    def late(path: Path) -> Checkpoint:
        if path == run.file(read) and path.exists():
            path.unlink()
            checkpoints.write(run.file(99), later)
        return original(path)

    monkeypatch.setattr(checkpoints, "read", late)
    listener = Recorder()
    path, found = run.find(name, listener)
    assert (path, found.step, listener.notes) == (run.file(99), 99, [])
