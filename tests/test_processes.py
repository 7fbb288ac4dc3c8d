"""Training on several processes: what it shares with training on one, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from several import COUNT, GIVEN, STEPS, VARIANTS, all_of, environment, finished, torchrun
from tiny_runs import (
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

Together = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(name="together", scope="session")
def _together() -> Together:
    """Trainings on three processes, and what each process found out."""
    place = folder() / "together"
    place.mkdir()
    return place, all_of(place)


# Weights and measures


@pytest.mark.slow
def test_the_run_is_that_of_one_process(together: Together, tmp_path: Path) -> None:
    """With the same batches and random numbers, up to rounding."""
    place, _ = together
    fit(tmp_path, **GIVEN)
    ours, theirs = state(place / "exact", STEPS), state(tmp_path, STEPS)
    assert (ours.processes, theirs.processes) == (COUNT, 1)
    for name, weights in theirs.model.items():
        assert torch.allclose(ours.model[name], weights, rtol=1e-4, atol=1e-5), name
    assert tree(place / "exact") == tree(tmp_path)
    for row, expected in zip(metrics(place / "exact"), metrics(tmp_path), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_and_gone_on(together: Together, name: str) -> None:
    """The second process was asked to stop: all did, at the same step, and saved once."""
    place, every = together
    for found in every:
        assert found[name]["steps"] == [7, True, 7, STEPS, False]
        assert found[name]["weights"] == [every[0][name]["weights"][0]] * 2
    assert_as_if_never_stopped(place / f"{name} again", place / name, STEPS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"), [("exact", "the last bits of its weights"), ("nvil", "other random numbers")]
)
def test_another_number_of_processes_is_noted(
    together: Together, tmp_path: Path, name: str, told: str
) -> None:
    place, _ = together
    run, listener = tmp_path / "run", Recorder()
    (run / "checkpoints").mkdir(parents=True)
    newest = f"checkpoints/step-{STEPS:09d}.pt"
    (run / newest).write_bytes((place / name / newest).read_bytes())
    assert go_on(run, listener).steps == STEPS
    assert listener.notes == []
    go_on(run, listener, train__steps=STEPS + 1)
    assert "1 processes where the run had 3" in listener.notes[-1]
    assert told in listener.notes[-1]
    assert state(run, STEPS + 1).processes == 1


# What goes wrong in one process, or in all


def expected_faults(place: Path) -> dict[str, tuple[str, list[str]]]:
    """Class and key facts of each error."""
    missing = data_file().with_name("missing.h5")
    digests = [read_info(path).content_digest[:16] for path in (data_file(), data_file(seed=3))]
    here = f"torchrun --nproc-per-node 3 -m -- airkit train --run {place / 'spoilt'}"
    return {
        "uneven": ("LaunchError", ["cannot be shared out", "number of processes, 3", "size=6"]),
        "missing": ("DataFileError", ["There is no such data file", f"where     {missing}"]),
        "file": ("OutputError", ["A file is in the way", f"where     {place / 'file'}"]),
        "elsewhere": ("DataFileError", ["the same data file", os.uname().nodename, *digests]),
        "spoilt": ("TrainingError", ["The loss is no", "step 7 of", "step-000000005.pt", here]),
    }


@pytest.mark.slow
def test_all_processes_raise_the_error_of_one(together: Together) -> None:
    """And the first one tells it."""
    place, every = together
    for name, (kind, facts) in expected_faults(place).items():
        for number, found in enumerate(every):
            raised, text, shared = found["faults"][name]
            assert (raised, shared) == (kind, number > 0), name
            assert all(fact in text for fact in facts), text
            assert text == every[0]["faults"][name][1]
    assert not [name for name in ("uneven", "missing", "elsewhere") if (place / name).exists()]
    assert saved_steps(place / "spoilt")[-1] == 5
    assert metrics(place / "spoilt")[-1]["step"] == 6


# The command line


def command(run: Path, steps: int) -> list[str]:
    """Two processes, one of which speaks."""
    given = {**TRAIN, "train.steps": steps, "train.val_every": 1000, "train.checkpoint_every": 6}
    given["guide.kind"] = "outside:Guide"
    settings = [f"--set={key}={value}" for key, value in given.items()]
    options = ["--data", str(data_file()), "--run", str(run), *settings]
    return torchrun(2, "-m", "--", "airkit", "train", *options)


def begun(run: Path, beyond: int) -> subprocess.Popen[str]:
    """Start a training, and wait for a step of it."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command(run, 100_000), **pipes, text=True, env=environment())
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


@pytest.mark.slow
def test_signals(tmp_path: Path) -> None:
    """SIGTERM stops and saves; after a process was killed the last checkpoint goes on."""
    with begun(tmp_path, 3) as process:
        process.send_signal(signal.SIGTERM)
        (told,) = said(process)
        assert process.returncode == 1
    (newest,) = saved_steps(tmp_path)[-1:]
    assert told.startswith(f"stopped at step {newest} of {tmp_path}: ")
    assert state(tmp_path, newest).processes == 2
    with begun(tmp_path, newest + 7) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        first = re.findall(r"^process (\d+) ", (tmp_path / "train.lock").read_text())
        (second,) = set(children) - set(first)
        os.kill(int(second), signal.SIGKILL)
        assert said(process) == ["airkit: Another process of the training has ended"]
        assert process.returncode == 1
    assert saved_steps(tmp_path)[-1] > newest
    assert not [name for name in tree(tmp_path) if name.endswith((".part", ".lock"))]
    report = go_on(tmp_path, guide__kind="outside:Guide", train__steps=1)
    assert report.resumed_from == saved_steps(tmp_path)[-1]


def saved_steps(run: Path) -> list[int]:
    """Steps of the checkpoints."""
    return [int(name[-12:-3]) for name in tree(run) if name.endswith(".pt")]


FAILING = """
import sys
import airkit.cli
from airkit.errors import DataFileError

def train(*given, **keys):
    error = DataFileError("It is missing", hint="another")
    error.shared = "shared" in sys.argv[0]
    raise error

airkit.train = train
sys.argv[:] = [sys.argv[1], "train"]
airkit.cli.run()
"""


@pytest.mark.parametrize(
    ("rank", "error", "heard"), [(0, "own", True), (2, "own", True), (2, "shared", False)]
)
def test_an_error_of_all_is_told_once(rank: int, error: str, heard: bool) -> None:
    """By the first process; an error of the first one on another machine is told there."""
    place = {"WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    place |= {"RANK": str(rank), "LOCAL_RANK": "0"}
    done = finished([sys.executable, "-c", FAILING, error], {**os.environ, **place})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("airkit: It is missing") == heard


@pytest.mark.parametrize(
    ("rank", "option", "code", "heard"),
    [(2, "--config=no.toml", 1, True), (1, "--config=no.toml", 1, False), (1, "--stpes", 2, False)],
)
def test_an_error_before_they_meet_is_told_once_a_machine(
    rank: int, option: str, code: int, heard: bool
) -> None:
    """Two on each of two machines; files of settings are read by each for itself."""
    place = {"WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    place |= {"RANK": str(rank), "LOCAL_RANK": str(rank % 2)}
    done = finished([sys.executable, "-m", "airkit", "train", option], {**os.environ, **place})
    assert (done.returncode, done.stdout, bool(done.stderr)) == (code, "", heard)
