"""Full disks, folders that cannot be written, clocks that jump, and files that vanish."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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

from airkit.cli.options import takes_path
from airkit.config.settings import spelled
from airkit.data.make import make_data
from airkit.evaluation.evaluate import evaluate
from airkit.runs import checkpoint as checkpoints
from airkit.runs.checkpoint import Best, Checkpoint
from airkit.runs.folder import RunFolder

SETTINGS = [word for key in TRAIN for word in ("--set", f"{key}={spelled(TRAIN[key])}")]

# In file systems of our own, in a name space that ends with the command

LIMIT = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({size}, {size}))"
HINT = "  try       check the folder's permissions and the free space, or name another path\n"


def cli(prologue: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fresh process, after a line of Python."""
    script = f"{prologue}\nimport airkit.cli; airkit.cli.run()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def mounted(mount: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line after ``mount`` on a folder, which it alone sees; may skip the test."""
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*alone, mount, "sh", folder], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("mounting is not allowed here")
    script = f'{mount} && shift && exec "$@" && ls -A "$0"'
    airkit = [sys.executable, "-m", "airkit", *map(str, arguments)]
    command = [*alone, script, "sh", str(folder), *airkit]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


FULL = 'mount -t tmpfs -o size=4k airkit "$1"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'


@pytest.fixture(name="commands")
def _commands(tmp_path: Path) -> Callable[[Path], dict[str, list[object]]]:
    """The commands that write, with a place for what they write."""
    digits = write_folder(tmp_path / "digits", mnist_like())
    run = trained(tmp_path / "trained")
    made = ["--source", digits, "--preset", "tiny"]

    def to(folder: Path) -> dict[str, list[object]]:
        return {
            "make-data": ["make-data", *made, "--out", folder / "data.h5"],
            "train": ["train", "--data", data_file(), "--run", folder],
            "render": ["render", "--run", run, "--out", folder / "a.png", "--kind", "data"],
        }

    return to


def refusal(how: str, disk: Path, command: list[object]) -> list[str]:
    """The message, line by line, of a command that fails on a disk mounted so."""
    disk.mkdir()
    done = mounted(how, disk, *command)
    assert done.returncode == 1, done.stderr
    return done.stderr[done.stderr.index("airkit: ") :].splitlines(keepends=True)


@pytest.mark.parametrize("name", ["make-data", "train", "render"])
def test_a_disk_that_is_full(
    tmp_path: Path, commands: Callable[[Path], dict[str, list[object]]], name: str
) -> None:
    disk = tmp_path / "disk"
    message = refusal(FULL, disk, commands(disk)[name])
    where = {"make-data": "data.h5", "train": "checkpoints/step-000000000.pt", "render": "a.png"}
    assert message == [
        "airkit: Cannot write a file\n",
        f"  where     {disk / where[name]}\n",
        "  got       No space left on device\n",
        HINT,
    ]


@pytest.mark.parametrize("name", ["make-data", "train", "render"])
def test_a_file_system_that_is_read_only(
    tmp_path: Path, commands: Callable[[Path], dict[str, list[object]]], name: str
) -> None:
    disk = tmp_path / "disk"
    message = refusal(READ_ONLY, disk, commands(disk)[name])
    place = {"make-data": disk, "train": disk, "render": disk / "a.png"}[name]
    made = name == "make-data"
    assert message == [
        f"airkit: Cannot write {'into the folder' if made else 'a file'}\n",
        f"  where     {place}\n",
        "  got       Read-only file system\n",
        "  try       another --out\n" if made else HINT,
    ]


def test_readers_of_a_read_only_run(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    done = mounted(READ_ONLY, run, "eval", "--run", run, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count_accuracy"] == evaluate(run).count_accuracy


def test_a_picture_that_grows_too_large(tmp_path: Path) -> None:
    run, out = trained(tmp_path / "run"), tmp_path / "a.png"
    out.write_bytes(b"old")
    done = cli(LIMIT.format(size=1000), "render", "--run", run, "--out", out, "--kind", "data")
    assert done.stderr == (
        f"airkit: Cannot write a file\n  where     {out}\n  got       File too large\n{HINT}"
    )
    assert (done.returncode, out.read_bytes()) == (1, b"old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "run"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_result_that_grows_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    """stdout goes to a file, which takes no more."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with (tmp_path / "result.json").open("w") as file:
        script = f"{LIMIT.format(size=100)}\nimport airkit.cli; airkit.cli.run()"
        done = subprocess.run(
            [sys.executable, "-c", script, "eval", "--run", str(reference()), "--json"],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()[-4:]) == (
        1,
        [
            "airkit: Cannot write the result",
            "  where     standard output",
            "  got       File too large",
            "  try       check the free space, or redirect it elsewhere",
        ],
    )


# A stderr that takes nothing


def test_notes_that_cannot_be_written_end_no_training(tmp_path: Path) -> None:
    words = ["train", "--data", data_file(), "--run", tmp_path / "run", *SETTINGS]
    command = [sys.executable, "-m", "airkit", *map(str, words)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, check=False)
    assert (done.returncode, done.stdout[:4]) == (0, b"run ")
    assert_as_if_never_stopped(tmp_path / "run")


def unheard(words: list[str], prologue: str = "") -> tuple[int, bytes]:
    """Exit code and stdout of a command, whose stderr is a pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = ["sh", "-c", f'{prologue}exec "$0" "$@"', sys.executable, "-m", "airkit", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    return done.returncode, done.stdout


def test_an_error_that_nobody_reads_has_its_exit_code() -> None:
    assert unheard(["config", "check"]) == (2, b"")


def test_a_command_needs_no_stderr() -> None:
    code, told = unheard(["info", str(data_file())], "exec 2>&-; ")
    assert (code, told[:10]) == (0, b"data file ")


# Names that no file system takes

LONG = "n" * 300
NO_RUN = (
    "There is no trained run here\n"
    f"  where     {LONG}\n"
    "  expected  a folder with checkpoints/step-*.pt\n"
    f"  try       airkit train --run {LONG}\n"
)


def _path_options() -> list[tuple[str, str]]:
    """Every option and argument, under its command, that takes a file or a folder."""
    return [
        (command, parameter.opts[0])
        for command, it in commands().items()
        for parameter in it.params
        if takes_path(parameter)
    ]


def _whole(command: str, option: str) -> list[object]:
    """A command line that works but for the name too long."""
    name = LONG + {"render": ".png", "report": ".html"}.get(command, "") * (option == "--out")
    data: list[object] = ["--data", data_file()]
    run: list[object] = ["--run", reference()]
    needed: dict[str, list[object]] = {
        "make-data": ["--preset", "tiny", "--source", write_folder(folder(), mnist_like())],
        "train": data,
        "sweep": data,
        "infer": [folder() / "canvas.npy", *run],
        "export": [reference(), "--out", "out"],
        "config show": [],
    }
    if not option.startswith("--"):
        rest: dict[str, list[object]] = {"infer": run, "export": ["--out", "out"]}
        return [*command.split(), name, *rest.get(command, [])]
    return [*command.split(), *needed.get(command, run), option, name]


@pytest.mark.parametrize(("command", "option"), _path_options())
def test_a_name_too_long_is_one_message(home: Path, command: str, option: str) -> None:
    np.save(folder() / "canvas.npy", np.zeros((24, 24), np.uint8))
    told = fails(*_whole(command, option))
    first, *more = told.split("airkit: ")[1:]
    assert more == []
    reads_run = option in ("--run", "--against") and command != "train"
    assert first == NO_RUN if reads_run else "\n  got       File name too long\n" in first
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("command", "option"), _path_options())
def test_an_empty_name_is_one_message(home: Path, command: str, option: str) -> None:
    """As that of a variable that is not set; it would be the current folder."""
    named = option if option.startswith("--") else None
    where = named or next(it.metavar for it in commands()[command].params if it.opts == [option])
    words = [option, ""] if named else [""]
    assert fails(*command.split(), *words) == (
        "airkit: An empty text names no file or folder\n"
        f"  where     {where}\n"
        "  expected  a path\n"
        "  got       ''\n"
        '  try       name one; a variable, as in --run "$RUN", may be empty or not set\n'
    )
    assert list(home.iterdir()) == []


def test_every_option_that_is_made_a_path_takes_one() -> None:
    for command, it in commands().items():
        for parameter in it.params:
            if parameter.type_descriptor.annotation in (Path, list[Path]):
                assert takes_path(parameter), (command, parameter.opts)


def test_what_takes_a_path_is_found() -> None:
    found = _path_options()
    assert {("info", "path"), ("config check", "file"), ("make-data", "--source")} <= set(found)
    assert len(found) > 35


def test_a_link_to_itself_is_no_run(home: Path) -> None:
    Path("loop").symlink_to("loop")
    told = fails("report", "--run", reference(), "--run", "loop")
    assert told == (
        "evaluating: 20 of 20\n"
        "airkit: There is no trained run here\n"
        "  where     loop\n"
        "  expected  a folder with checkpoints/step-*.pt\n"
        "  got       a link to nothing\n"
        "  try       name another; airkit train makes one\n"
    )


# Clocks


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_clocks_that_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """A day back, or on, each time that someone asks: durations are true all the same."""
    jumps = itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + jump * next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * (1.8e9 + jump * next(jumps))))
    began = time.perf_counter()
    digits = write_folder(tmp_path / "digits", mnist_like())
    made = make_data(tmp_path / "data.h5", settings={**DATA, "data.source": str(digits)})
    fit(tmp_path / "run", listener=Recorder(step10=interrupt))
    report = go_on(tmp_path / "run")
    measures = evaluate(tmp_path / "run")
    passed = time.perf_counter() - began
    told = [row["seconds"] for row in RunFolder(tmp_path / "run").rows() if "seconds" in row]
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= report.seconds + 0.001
    assert 0 < made.seconds + report.seconds + measures.seconds < passed
    assert min(made.seconds, report.seconds, measures.seconds) > 0
    assert_as_if_never_stopped(tmp_path / "run")


# A process that ended, or works, between two files


def test_what_follows_the_last_checkpoint_is_made_up_for(tmp_path: Path) -> None:
    """The process was killed when the last checkpoint had just been written."""
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


def pruned_while_read(
    run: RunFolder, first: int, later: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When checkpoint ``first`` is about to be read, a training replaces it by ``later``."""
    read = checkpoints.read

    def late(path: Path) -> Checkpoint:
        if path == run.file(first):
            path.unlink()
            checkpoints.write(run.file(later.step), later)
        return read(path)

    monkeypatch.setattr(checkpoints, "read", late)


def test_the_newest_may_be_pruned_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(trained(tmp_path / "run"))
    later = Checkpoint(**{**vars(state(run.path)), "step": 99})
    pruned_while_read(run, STEPS, later, monkeypatch)
    listener = Recorder()
    found = run.latest(listener)
    assert found is not None
    assert (found.step, listener.notes) == (99, [])


def test_the_best_may_be_pruned_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(trained(tmp_path / "run"))
    newest = vars(state(run.path))
    best = Checkpoint(**{**newest, "best": Best(16, 1.0, 1.0)})
    checkpoints.write(run.file(STEPS), best)
    later = Checkpoint(**{**newest, "step": 99, "best": Best(99, 2.0, 1.0)})
    pruned_while_read(run, 16, later, monkeypatch)
    path, found = run.find("best", Recorder())
    assert (path, found.step) == (run.file(99), 99)
