"""Training on several processes: what it shares with training on one, and how it ends."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from several import BATCH, COUNT, all_of, environment, torchrun
from spoilt import message
from tiny_runs import (
    STEPS,
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    folder,
    go_on,
    metrics,
    state,
    tree,
)

from airkit.data.reader import read_info
from airkit.errors import AirkitError, ConfigError, Problem
from airkit.model.guides import Noise
from airkit.model.objectives import Share


@cache
def together() -> tuple[Path, list[dict[str, Any]]]:
    """Trainings on three processes, and what each process found out."""
    place = folder() / "together"
    place.mkdir()
    return place, all_of(place)


# Weights and measures


def test_the_run_is_that_of_one_process(tmp_path: Path) -> None:
    """With the same batches and random numbers, up to rounding."""
    place, _ = together()
    fit(tmp_path, train__batch_size=BATCH)
    ours, theirs = state(place / "exact"), state(tmp_path)
    assert (ours.processes, theirs.processes) == (COUNT, 1)
    for name, weights in theirs.model.items():
        assert torch.allclose(ours.model[name], weights, rtol=1e-4, atol=1e-5), name
    assert tree(place / "exact") == tree(tmp_path)
    for row, expected in zip(metrics(place / "exact"), metrics(tmp_path), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_stopped_and_gone_on(estimator: str) -> None:
    """The second process was asked to stop: all did, at the same step, and saved once."""
    place, every = together()
    for found in every:
        assert found[estimator]["steps"] == [10, True, 10, STEPS, False]
        assert found[estimator]["weights"] == every[0][estimator]["weights"]
        assert found[estimator]["again"] == found[estimator]["weights"]
    assert_as_if_never_stopped(place / f"{estimator} again", place / estimator)


@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_another_number_of_processes_is_noted(tmp_path: Path, estimator: str) -> None:
    place, _ = together()
    listener = Recorder()
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    newest = f"checkpoints/step-{STEPS:09d}.pt"
    (run / newest).write_bytes((place / estimator / newest).read_bytes())
    assert go_on(run, listener).steps == STEPS
    assert listener.notes == []
    go_on(run, listener, train__steps=STEPS + 1)
    what = {
        "exact": "the last bits of its weights may differ from",
        "nvil": "it draws other random numbers, and its weights will not be",
    }
    assert listener.notes[-1] == (
        f"1 processes where the run had 3: {what[estimator]} those of an undisturbed one; "
        "torchrun --nproc-per-node 3 keeps them"
    )
    assert state(run, STEPS + 1).processes == 1


def test_shares_are_the_whole() -> None:
    for total in (0, 1, 7, 12):
        shares = [Share(index, 3).rows(total) for index in range(3)]
        assert [row for rows in shares for row in range(total)[rows]] == list(range(total))
    noise = Noise(torch.arange(12.0).view(6, 2, 1), torch.ones(6, 2, 1), None)
    part = Share(1, 3).noise(noise, 6)
    assert part.where is not None
    assert part.where.flatten().tolist() == [4, 5, 6, 7]
    assert part.look is None


# What goes wrong in one process, or in all


def expected_faults(place: Path) -> dict[str, list[str]]:
    missing = data_file().with_name("missing.h5")
    digests = [read_info(path).content_digest[:16] for path in (data_file(), data_file(seed=3))]
    spoilt = message(
        "The loss",
        place / "spoilt",
        7,
        5,
        "log p(x | canvas_0) = nan for 1 of 4 canvases, first train canvas 31",
    )
    return {
        "uneven": [
            "LaunchError",
            "The batch cannot be shared out evenly\n"
            "  where     train.batch_size\n"
            "  expected  a multiple of the number of processes, 3\n"
            "  got       batches of 8 canvases\n"
            "  try       2 in all with torchrun --nproc-per-node, or, for a new run, "
            "--set train.batch_size=6",
        ],
        "missing": [
            "DataFileError",
            "There is no such data file\n"
            f"  where     {missing}\n"
            f"  try       airkit make-data --out {missing}",
        ],
        "file": [
            "OutputError",
            "A file is in the way\n"
            f"  where     {place / 'file'}\n"
            "  try       move it away, or name another path",
        ],
        "elsewhere": [
            "DataFileError",
            "Not all processes have the same data file\n"
            f"  where     {data_file()} on {os.uname().nodename}\n"
            f"  expected  canvases with digest {digests[0]}, as the first process has\n"
            f"  got       digest {digests[1]}\n"
            "  try       copy the file to every machine, or name one that all of them share with "
            "--data",
        ],
        "spoilt": [
            "TrainingError",
            spoilt.replace("airkit train", "torchrun --nproc-per-node 3 -m -- airkit train"),
        ],
    }


def test_all_processes_raise_the_error_of_one() -> None:
    """And the first one tells it."""
    place, every = together()
    expected = expected_faults(place)
    for number, found in enumerate(every):
        assert found["faults"] == {name: [*it, number > 0] for name, it in expected.items()}
    assert not [name for name in ("uneven", "missing", "elsewhere") if (place / name).exists()]
    assert saved_steps(place / "spoilt")[-1] == 5
    assert metrics(place / "spoilt")[-1]["step"] == 6


@pytest.mark.parametrize(
    "error", [AirkitError("A", got=1, hint="b"), ConfigError([Problem("a", "b", "c")])]
)
def test_errors_travel(error: AirkitError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# The command line


def command(run: Path, steps: int, data: Path | None = None) -> list[str]:
    """Two processes, one of which speaks."""
    given = {**TRAIN, "train.steps": steps, "train.val_every": 1000, "train.checkpoint_every": 30}
    settings = [f"--set={key}={value}" for key, value in given.items()]
    options = ["--data", str(data or data_file()), "--run", str(run), *settings]
    return torchrun(2, "-m", "--", "airkit", "train", *options)


def begun(run: Path, beyond: int) -> subprocess.Popen[str]:
    """Start a training, and wait for a step of it."""
    process = subprocess.Popen(
        command(run, 100_000),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    for line in process.stderr:
        step = re.match(r"step (\d+) of", line)
        if step and int(step[1]) > beyond:
            return process
    raise AssertionError(process.communicate())


def said(process: subprocess.Popen[str]) -> list[str]:
    """What airkit has to say at its end, beside all that torchrun says of it."""
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "airkit/training" not in err, err
    return re.findall(r"^(?:airkit: |stopped at ).*$", err, re.MULTILINE)


def test_signals(tmp_path: Path) -> None:
    """SIGTERM stops and saves; after a process was killed the last checkpoint goes on."""
    with begun(tmp_path, 3) as process:
        process.send_signal(signal.SIGTERM)
        (told,) = said(process)
        assert process.returncode == 1
    (newest,) = saved_steps(tmp_path)[-1:]
    again = f"torchrun --nproc-per-node 2 -m -- airkit train --run {tmp_path}"
    assert told == f"stopped at step {newest}; {again} goes on from there"
    assert state(tmp_path, newest).processes == 2
    with begun(tmp_path, newest + 31) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        first = re.findall(r"^process (\d+) ", (tmp_path / "train.lock").read_text())
        (second,) = set(children) - set(first)
        os.kill(int(second), signal.SIGKILL)
        assert said(process) == ["airkit: Another process of the training has ended"]
        assert process.returncode == 1
    assert saved_steps(tmp_path)[-1] > newest
    assert not [name for name in tree(tmp_path) if name.endswith((".part", ".lock"))]
    assert go_on(tmp_path, train__steps=1).resumed_from == saved_steps(tmp_path)[-1]


def saved_steps(run: Path) -> list[int]:
    """Steps of the checkpoints."""
    return [int(name[-12:-3]) for name in tree(run) if name.endswith(".pt")]


def test_an_error_is_told_once(tmp_path: Path) -> None:
    missing = tmp_path / "missing.h5"
    done = subprocess.run(
        command(tmp_path / "run", 3, missing),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("airkit: ") == done.stderr.count("There is no such data file") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rank", "options", "code", "heard"),
    [
        (0, ["--config", "no.toml"], 1, True),
        (1, ["--config", "no.toml"], 1, False),
        (2, ["--config", "no.toml"], 1, True),
        (1, ["--stpes"], 2, False),
    ],
)
def test_an_error_before_they_meet_is_told_once_a_machine(
    rank: int, options: list[str], code: int, heard: bool
) -> None:
    """Two on each of two machines; files of settings are read by each for itself."""
    place = {"WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    place |= {"RANK": str(rank), "LOCAL_RANK": str(rank % 2)}
    done = subprocess.run(
        [sys.executable, "-m", "airkit", "train", *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **place},
        timeout=30,
    )
    assert (done.returncode, done.stdout, bool(done.stderr)) == (code, "", heard)
