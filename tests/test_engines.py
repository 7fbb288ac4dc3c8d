"""Where trials run: processes with their limits and deaths, and submitit's jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from own_classes import SWEPT
from tiny_runs import TRAIN, assert_as_if_never_stopped, data_file, fit

from airkit.config.settings import layers
from airkit.errors import AirkitError
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan, Trial
from airkit.sweeps import engines
from airkit.sweeps.engines import Engine, Job, Processes, Submitit, cores, visible_gpus
from airkit.system.callbacks import SILENT
from airkit.training.resume import configure

LONG = {"train__steps": 100_000, "train__checkpoint_every": 100_000, "train__val_every": 100_000}


def plan(folder: Path, **keys: object) -> Plan:
    """The plan of a tiny sweep, written."""
    given = {**TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    info, config = configure(data_file(), layers(given), SILENT)
    made = Plan(folder, info.path.absolute(), info.content_digest, config)
    made.write()
    return made


class Code(Processes):
    """Runs Python code in the place of trials."""

    code = ""

    def command(self, trial: Trial) -> Sequence[str]:
        return sys.executable, "-c", f"seed = {trial.seed}\n{self.code}"


def code(text: str, workers: int = 1, threads: int | None = None) -> Code:
    engine = Code(workers, threads)
    engine.code = text
    return engine


def failures(engine: Engine, made: Plan, seeds: int) -> dict[int, str | None]:
    """What became of each seed."""
    trials = [made.trial(seed) for seed in range(seeds)]
    return {trial.seed: why for trial, why in engine.run(trials, lambda: False)}


def assert_saved(trial: Trial) -> None:
    """A training that was stopped left a checkpoint, and no lock."""
    saved = RunFolder(trial.run).latest(SILENT)
    assert saved is not None
    assert saved.step > 0
    assert not (trial.run / "train.lock").exists()


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Both engines


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", [Processes(2, 1), Submitit(2, parameters={"timeout_min": 5})], ids=type
)
@pytest.mark.usefixtures("mine")
def test_trials_train_and_measure(tmp_path: Path, engine: Engine) -> None:
    """With the classes that the call names; seed 1 meets a folder that is another's."""
    if isinstance(engine, Submitit):
        pytest.importorskip("submitit")
    made = plan(tmp_path, **SWEPT)
    (tmp_path / "seed-001").mkdir()
    (tmp_path / "seed-001/best.json").write_text("{}")
    told = "The folder holds files that belong to no checkpoint"
    assert failures(engine, made, 2) == {0: None, 1: told}
    fit(tmp_path / "expected", **SWEPT)
    assert_as_if_never_stopped(made.trial(0).run, tmp_path / "expected")
    found = made.trial(0).result()
    assert found is not None
    assert (found.measures.model_extra or {})["mine:Seen"]["seen"] == 20
    assert made.trial(1).result() is None


@pytest.mark.parametrize(
    "engine", [Processes(1, 1), pytest.param(Submitit(1), marks=pytest.mark.slow)], ids=type
)
def test_a_stop_waits_until_the_work_is_saved(tmp_path: Path, engine: Engine) -> None:
    if isinstance(engine, Submitit):
        pytest.importorskip("submitit")
    made = plan(tmp_path, **LONG)
    trials = [made.trial(seed) for seed in range(2)]
    assert list(engine.run(trials, (trials[0].run / "metrics.jsonl").exists)) == []
    assert_saved(trials[0])
    assert not trials[1].run.exists()


# Processes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.abort()", "killed by SIGABRT"),
        ("raise ValueError('of no use')", "ValueError: of no use"),
        ("import sys; sys.exit('airkit: No such thing\\n  where     there')", "No such thing"),
        ("raise SystemExit(3)", "exit code 3"),
        ("print('step 3'); print(); raise SystemExit(4)", "step 3"),
        ("print('step 3'); raise SystemExit(130)", "stopped by a signal"),
    ],
)
def test_why_a_process_failed(tmp_path: Path, text: str, told: str) -> None:
    engine = code(f"if seed == 1:\n    {text}", workers=3)
    assert failures(engine, plan(tmp_path), 3) == {0: None, 1: told, 2: None}


def test_output_of_an_earlier_attempt_is_kept_and_no_failure_of_this_one(tmp_path: Path) -> None:
    made = plan(tmp_path)
    failures(code("import sys; sys.exit('airkit: No such thing')"), made, 1)
    assert failures(code("raise SystemExit(3)"), made, 1) == {0: "exit code 3"}
    assert made.trial(0).log.read_text() == "airkit: No such thing\n"


def test_a_process_that_cannot_be_started_leaves_the_others(tmp_path: Path) -> None:
    made = plan(tmp_path)
    (tmp_path / "seed-001").write_text("in the way")
    assert failures(code("pass"), made, 3) == {0: None, 1: "A file is in the way", 2: None}


def test_no_more_at_a_time_than_workers(tmp_path: Path) -> None:
    engine = code(
        f"import os, pathlib, time; here = pathlib.Path({str(tmp_path)!r}) / f'on-{{seed}}'\n"
        "here.touch(); time.sleep(0.3)\n"
        "print('on', len(list(here.parent.glob('on-*')))); here.unlink()",
        workers=2,
    )
    made = plan(tmp_path)
    assert set(failures(engine, made, 5).values()) == {None}
    most = [int(made.trial(seed).log.read_text().split()[1]) for seed in range(5)]
    assert max(most) == 2


@pytest.mark.parametrize(
    ("allowed", "workers", "threads", "wanted"),
    [("7", 1, 3, 3), ("1", 1, None, 1), ("7", 1, None, min(7, cores())), ("", 1, None, None),
     ("", 64, None, 1), ("7", 64, None, 1), ("2", 64, 3, 3)],
)  # fmt: skip
def test_threads_are_shared_out(
    allowed: str, workers: int, threads: int | None, wanted: int | None,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """However few trials there are; one worker alone is left to find out what pays."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, allowed) if allowed else monkeypatch.delenv(name, raising=False)
    made = plan(tmp_path)
    text = f"import os; print(*map(os.environ.get, {names}))"
    failures(code(text, workers, threads), made, 1)
    assert made.trial(0).log.read_text().splitlines()[-1] == f"{wanted} {wanted}"


def test_gpus_are_dealt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus("auto") == visible_gpus("cuda") == ["0", "1", "2"]
    assert visible_gpus("cpu") == visible_gpus("cuda:1") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert visible_gpus("auto") == ["5", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,0,9")  # CUDA stops at the first it lacks
    assert visible_gpus("auto") == ["5", "7", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    made = plan(tmp_path, train__device="auto")
    text = "import os, time; time.sleep(1.5); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    failures(code(text, 2), made, 2)
    assert [made.trial(seed).log.read_text() for seed in range(2)] == ["5\n", "7\n"]


@pytest.mark.slow
def test_trials_do_not_outlive_a_killed_sweep(tmp_path: Path) -> None:
    trial = plan(tmp_path, **LONG).trial(0)
    text = (
        "import sys, pathlib\n"
        "from airkit.sweeps.engines import Processes\n"
        "from airkit.runs.sweep_folder import Plan\n"
        "plan = Plan.read(pathlib.Path(sys.argv[1]))\n"
        "list(Processes(1, 1).run([plan.trial(0)], lambda: False))"
    )
    with subprocess.Popen([sys.executable, "-c", text, str(tmp_path)]) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        eventually((trial.run / "metrics.jsonl").exists)
        child = int(children.read_text().split()[0])
        parent.kill()
    eventually(lambda: not alive(child))
    assert_saved(trial)


# submitit


def test_a_preempted_job_is_sent_again_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    job = Job(plan(tmp_path).trial(0), 1)
    again = job.checkpoint()
    assert (again.function, again.args, again.kwargs) == (job, (), {})


def test_a_job_that_breaks_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")

    def broken(*_: object) -> bool:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engines, "run_trial", broken)
    assert Job(plan(tmp_path).trial(0), 1)() == "RuntimeError: out of memory"


@pytest.mark.parametrize("parameters", [{"no_such": 1}, {"timeout_min": 1.5}])
def test_parameters_that_submitit_does_not_take(parameters: dict[str, Any]) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(AirkitError, match="submitit does not accept these parameters"):
        Submitit(parameters=parameters).check()


def test_submitit_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(AirkitError, match="The engine submitit is not installed") as caught:
        Submitit().check()
    assert 'pip install "airkit[cluster]"' in caught.value.hint
