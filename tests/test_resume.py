"""Stopping anywhere and going on is the same, bit for bit, as never stopping."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    STEPS,
    TRAIN,
    CrashError,
    Recorder,
    assert_as_if_never_stopped,
    crash,
    data_file,
    fit,
    go_on,
    interrupt,
    metrics,
    reference,
    state,
    trained,
    tree,
)

from airkit.runs.folder import RunFolder

# In one process, at every kind of step


@pytest.mark.parametrize("step", [1, 3, 7, 8, 15, 20, 22])
def test_stopped_and_gone_on(tmp_path: Path, step: int) -> None:
    """Steps on and off the intervals of logging (3), validation (5) and saving (4)."""
    report = fit(tmp_path, listener=Recorder(**{f"step{step}": interrupt}))
    assert (report.steps, report.stopped) == (step, True)
    assert metrics(tmp_path) == [row for row in metrics(reference()) if row["step"] <= step]
    report = go_on(tmp_path)
    assert (report.resumed_from, report.steps, report.stopped) == (step, STEPS, False)
    assert_as_if_never_stopped(tmp_path)


def test_stopped_after_the_last_step(tmp_path: Path) -> None:
    report = fit(tmp_path, listener=Recorder(**{f"step{STEPS}": interrupt}))
    assert not report.stopped
    assert_as_if_never_stopped(tmp_path)


def test_stopped_at_every_step(tmp_path: Path) -> None:
    listener = Recorder(**{f"step{step}": interrupt for step in range(STEPS)})
    fit(tmp_path, listener=listener)
    for step in range(1, STEPS):
        assert go_on(tmp_path, listener).resumed_from == step
    assert_as_if_never_stopped(tmp_path)


@pytest.mark.parametrize(("step", "saved"), [(1, 0), (3, 0), (7, 5), (10, 8), (15, 12), (22, 20)])
def test_crashed_and_gone_on(tmp_path: Path, step: int, saved: int) -> None:
    """From the last checkpoint, with the settings of the first call."""
    with pytest.raises(CrashError):
        fit(tmp_path, listener=Recorder(**{f"step{step}": crash}))
    listener = Recorder()
    assert go_on(tmp_path, listener).resumed_from == saved
    assert listener.notes == [f"going on from step {saved} of {tmp_path}"]
    assert_as_if_never_stopped(tmp_path)


def test_crashed_again_and_again(tmp_path: Path) -> None:
    draw, ends, calls = random.Random(0), cycle([crash, crash, interrupt]), 0
    while not RunFolder(tmp_path).file(STEPS).exists():
        with suppress(CrashError):
            fit(tmp_path, listener=Recorder(**{f"step{draw.randint(1, STEPS)}": next(ends)}))
        calls += 1
    assert calls > 2
    assert_as_if_never_stopped(tmp_path)


@pytest.mark.parametrize("spoilt", [[STEPS], [STEPS, 20]])
def test_damaged_checkpoints_are_trained_again(tmp_path: Path, spoilt: list[int]) -> None:
    run = trained(tmp_path / "run")
    for step in spoilt:
        RunFolder(run).file(step).write_bytes(b"torn")
    listener = Recorder()
    assert go_on(run, listener).resumed_from == (16 if 20 in spoilt else 20)
    assert len(listener.notes) == len(spoilt) + 1
    assert_as_if_never_stopped(run)
    assert tree(run) == tree(reference())


def test_a_checkpoint_of_a_newer_airkit_is_trained_again(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    path = RunFolder(run).file(STEPS)
    torch.save({**torch.load(path, weights_only=True), "format_version": 2}, path)
    listener = Recorder()
    assert go_on(run, listener).resumed_from == 20
    assert "from a newer airkit" in listener.notes[0]
    assert_as_if_never_stopped(run)


@pytest.mark.parametrize(
    "keys",
    [
        {"guide__looks": "argmax", "train__clip_norm": 1.0},
        {"prior__schedule": "exponential", "prior__anneal_duration": 15},
        {"train__schedule": "constant", "train__batch_size": 60, "train__keep": 1},
    ],
)
def test_other_settings_go_on_as_well(tmp_path: Path, keys: dict[str, Any]) -> None:
    fit(tmp_path / "whole", **keys)
    fit(tmp_path / "run", listener=Recorder(step10=interrupt), **keys)
    go_on(tmp_path / "run")
    assert_as_if_never_stopped(tmp_path / "run", tmp_path / "whole")


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    fit(tmp_path, listener=Recorder(step2=interrupt))
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, listener=Recorder(step10=twice))
    go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path)


# In fresh processes

SCRIPT = """
import json, os, resource, signal, sys, time
sys.path.insert(0, {tests!r})
from tiny_runs import Recorder, go_on, kill
from airkit.system import files
from airkit.errors import AirkitError
from airkit.training.loop import train
from pathlib import Path

class Telling(Recorder):
    def progress(self, task, done, total):
        super().progress(task, done, total)
        if task == "training":
            print("step", done, flush=True)
            if {slow}:  # and slower still towards the end, so that every signal finds it alive
                time.sleep(0.05 if done < 18 else 3)

def tell(report):
    print(json.dumps([report.resumed_from, report.steps, report.stopped]), flush=True)
"""


def start(body: str, *, slow: bool = False) -> subprocess.Popen[str]:
    script = SCRIPT.format(tests=str(Path(__file__).parent), slow=slow) + body
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def training(run: Path) -> str:
    return f"train({str(data_file())!r}, {str(run)!r}, settings={TRAIN!r}, listener=Telling())"


def signalled(process: subprocess.Popen[str], number: int, after: int, wait: float) -> list[Any]:
    """Send a signal some time after a step; returns what the process told of its report."""
    assert process.stdout is not None
    while process.stdout.readline() != f"step {after}\n":
        assert process.poll() is None, process.communicate()[1]
    time.sleep(wait)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert err == ""
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return []
    assert process.returncode == 0
    found: list[Any] = json.loads(out.splitlines()[-1])
    return found


def killed_early(run: Path) -> str:
    """The process dies before its first checkpoint but that of the start."""
    return training(run).replace("Telling()", "Telling(step2=kill)")


def killed_while_saving(run: Path) -> str:
    """The process dies with half of the checkpoint of step 12 written."""
    return f"""
def dying(path, sync=files.sync):
    if path.name == "step-000000012.pt.part":
        path.write_bytes(path.read_bytes()[:1000])
        kill()
    sync(path)

files.sync = dying
{training(run)}
"""


def test_signals_in_fresh_processes(tmp_path: Path) -> None:
    """Ctrl-C, TERM and KILL at moments of no choosing; one more process goes on with all."""
    draw = random.Random(time.time_ns())
    runs = {name: tmp_path / name for name in ("int", "term", "kill", "early", "saving")}
    moment = (draw.randint(2, 12), draw.uniform(0, 0.2))
    with ExitStack() as stack:
        dying = [
            stack.enter_context(start(body))
            for body in (killed_while_saving(runs["saving"]), killed_early(runs["early"]))
        ]
        processes = {
            name: stack.enter_context(start(f"tell({training(runs[name])})", slow=True))
            for name in ("int", "term", "kill")
        }
        for name, number in (("int", signal.SIGINT), ("term", signal.SIGTERM)):
            _, step, stopped = signalled(processes[name], number, *moment)
            assert stopped, moment
            assert moment[0] <= step < STEPS
            assert state(runs[name], step).step == step
        signalled(processes["kill"], signal.SIGKILL, *moment)
        for process in dying:
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
    assert "checkpoints/step-000000012.pt.part" in tree(runs["saving"])

    with start("".join(f"tell(go_on(Path({str(run)!r})))\n" for run in runs.values())) as process:
        out, err = process.communicate(timeout=60)
    assert err == ""
    reports = dict(zip(runs, map(json.loads, out.splitlines()), strict=True))
    assert (reports["early"][0], reports["saving"][0]) == (0, 10)
    for name, run in runs.items():
        assert reports[name][1:] == [STEPS, False]
        assert_as_if_never_stopped(run)


def test_a_full_disk(tmp_path: Path) -> None:
    """Checkpoints that do not fit are told of, and what is there stays."""
    run = trained(tmp_path / "run")
    before = {name: (run / name).read_bytes() for name in tree(run)}
    limit = (run / "checkpoints" / f"step-{STEPS:09d}.pt").stat().st_size // 2
    body = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
for settings, fresh in (({{"train.steps": 30}}, False), ({{}}, True)):
    try:
        train(None if not fresh else {str(data_file())!r}, {str(run)!r}, settings=settings,
              fresh=fresh)
    except AirkitError as error:
        print(type(error).__name__, "|", str(error).replace(chr(10), "|"))
"""
    with start(body) as process:
        out, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("", 0)
    hint = "  try       check the folder's permissions and the free space, or name another path"
    for line, step in zip(out.splitlines(), (24, 0), strict=True):
        assert line == (
            f"OutputError | Cannot write a file|  where     {RunFolder(run).file(step)}|"
            f"  got       File too large|{hint}"
        )
    del before["metrics.jsonl"]
    assert {name: (run / name).read_bytes() for name in before} == before
    assert sorted([*before, "metrics.jsonl"]) == tree(run)
    go_on(run)
    assert metrics(run) == metrics(reference())
