"""Stopping anywhere and going on is the same, bit for bit, as never stopping."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import forks
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
    options,
    reference,
    same,
    state,
    trained,
    tree,
)

from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.training.resume import prepare


def test_a_run_keeps_the_batch_that_auto_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are larger where there is a GPU; a run that goes on there keeps its own."""
    auto = {"train.device": "auto", "train.batch_size": "auto"}

    def batch(run: Path, gpu: bool) -> int | str:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        start = prepare(data_file(), RunFolder(run), auto, fresh=False, listener=Recorder())
        return start.config.train.batch_size

    assert [batch(tmp_path / "new", gpu) for gpu in (False, True)] == [64, 256]
    monkeypatch.undo()
    fit(tmp_path / "run", train__batch_size="auto", train__steps=2)
    assert state(tmp_path / "run", 2).config.train.batch_size == 64
    assert batch(tmp_path / "run", gpu=True) == 64


# In one process, at every kind of step


def test_stopped_at_every_step(tmp_path: Path) -> None:
    """On and off the intervals of logging (3), validation (5) and saving (4)."""
    listener = Recorder(**{f"step{step}": interrupt for step in range(STEPS + 1)})
    for step in range(1, STEPS + 1):
        report = go_on(tmp_path, listener) if step > 1 else fit(tmp_path, listener=listener)
        assert (report.resumed_from, report.steps) == (step - 1, step)
        assert report.stopped == (step < STEPS)
        assert metrics(tmp_path) == [row for row in metrics(reference()) if row["step"] <= step]
    assert_as_if_never_stopped(tmp_path)


@pytest.mark.parametrize(("step", "saved"), [(1, 0), (7, 5), (10, 8), (22, 20)])
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


@pytest.mark.parametrize("field", [None, "model", "baselines", "optimiser", "format_version"])
def test_damaged_checkpoints_are_passed_over(tmp_path: Path, field: str | None) -> None:
    """And those of a newer airkit: their steps are trained again."""
    run, listener = trained(tmp_path / "run"), Recorder()
    for step in (20, STEPS):
        path = RunFolder(run).file(step)
        content = torch.load(path, weights_only=True)
        path.write_bytes(b"torn")
        if field is not None:
            changed = 99 if field == "format_version" else {"a": torch.zeros(1)}
            torch.save({**content, field: changed}, path)
    assert go_on(run, listener).resumed_from == 16
    for note, step in zip(listener.notes, (STEPS, 20), strict=False):
        assert note.endswith(f"{RunFolder(run).file(step)}; going back to step 16")
    assert_as_if_never_stopped(run)
    assert tree(run) == tree(reference())


@pytest.mark.parametrize(
    "keys",
    [
        {"guide__looks": "argmax", "train__clip_norm": 1.0},
        {"prior__schedule": "exponential", "prior__anneal_duration": 15},
        {"train__schedule": "constant", "train__batch_size": 60, "train__keep": 1},
        options("lstm", "nvil") | {"train__baseline": "mlp"},
        options("lstm", "nvil") | {"train__baseline": "none"},
    ],
)
def test_other_settings_go_on_as_well(tmp_path: Path, keys: dict[str, Any]) -> None:
    fit(tmp_path / "whole", **keys, train__steps=14)
    fit(tmp_path / "run", listener=Recorder(step10=interrupt), **keys, train__steps=14)
    go_on(tmp_path / "run")
    assert_as_if_never_stopped(tmp_path / "run", tmp_path / "whole", 14)


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
import json, resource, sys, time, warnings
warnings.simplefilter("error")
sys.path.insert(0, {tests!r})
from tiny_runs import Recorder, go_on, kill
from airkit.system import files
from airkit.errors import OutputError
from airkit.training.train import train
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


def start(body: str, *, slow: bool = False) -> AbstractContextManager[forks.Fork]:
    return forks.piped(SCRIPT.format(tests=str(Path(__file__).parent), slow=slow) + body)


def training(run: Path) -> str:
    return f"train({str(data_file())!r}, {str(run)!r}, settings={TRAIN!r}, listener=Telling())"


def wait_for(process: forks.Fork, step: int) -> None:
    """Wait until the training in a process has taken a step."""
    while (line := process.stdout.readline()) != f"step {step}\n":
        assert line, process.stderr.read()


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


@pytest.mark.slow
def test_signals_in_fresh_processes(tmp_path: Path) -> None:
    """TERM and KILL at random moments, and in the middle of saving; another process goes on."""
    draw = random.Random(time.time_ns())
    runs = {name: tmp_path / name for name in ("term", "kill", "saving")}
    bodies = {name: f"tell({training(runs[name])})" for name in ("term", "kill")}
    moment, wait = draw.randint(2, 12), draw.uniform(0, 0.2)
    with ExitStack() as stack:
        saving = stack.enter_context(start(killed_while_saving(runs["saving"])))
        term, kill = (stack.enter_context(start(body, slow=True)) for body in bodies.values())
        for process, number in ((term, signal.SIGTERM), (kill, signal.SIGKILL)):
            wait_for(process, moment)
            time.sleep(wait)
            os.kill(process.pid, number)
        out, err = term.stdout.read(), term.stderr.read()
        assert (err, term.wait()) == ("", 0)
        _, step, stopped = json.loads(out.splitlines()[-1])
        assert stopped, (moment, wait)
        assert moment <= step < STEPS
        assert state(runs["term"], step).step == step
        for process in (kill, saving):
            assert process.wait() == -signal.SIGKILL
    assert "checkpoints/step-000000012.pt.part" in tree(runs["saving"])

    with start("".join(f"tell(go_on(Path({str(run)!r})))\n" for run in runs.values())) as process:
        out, err = process.stdout.read(), process.stderr.read()
        assert (err, process.wait()) == ("", 0)
    reports = dict(zip(runs, map(json.loads, out.splitlines()), strict=True))
    assert reports["saving"][0] == 10
    for name, run in runs.items():
        assert reports[name][1:] == [STEPS, False]
        assert_as_if_never_stopped(run)


def test_a_full_disk(tmp_path: Path) -> None:
    """A checkpoint that does not fit is told of, and what is there stays."""
    run = trained(tmp_path / "run")
    files = [name for name in tree(run) if name != "metrics.jsonl"]
    before = [(run / name).read_bytes() for name in files]
    limit = RunFolder(run).file(STEPS).stat().st_size // 2
    body = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    train(None, {str(run)!r}, settings={{"train.steps": 30}})
except OutputError as error:
    print(error)
"""
    with start(body) as process:
        out, err = process.stdout.read(), process.stderr.read()
        assert (err, process.wait()) == ("", 0)
    assert f"where     {RunFolder(run).file(24)}\n  got       File too large" in out
    assert [name for name in tree(run) if name != "metrics.jsonl"] == files
    assert [(run / name).read_bytes() for name in files] == before
    go_on(run)
    assert metrics(run) == metrics(reference())


def test_a_run_from_before_a_setting_existed_goes_on(tmp_path: Path) -> None:
    """What it chooses by itself is what auto stood for."""
    fit(tmp_path, listener=Recorder(step8=interrupt))
    for file in RunFolder(tmp_path).saved():
        old = checkpoint.read(file)
        config = old.config.updated("train", backward="auto")
        checkpoint.write(file, replace(old, config=config))
    assert go_on(tmp_path).steps == STEPS
    assert same(state(tmp_path).model, state(reference()).model)
