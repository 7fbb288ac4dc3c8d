"""Hostile files are read rightly or refused in airkit's words, in bounded time and memory."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fails
from hostile import campaign, kinds
from hostile.attacks import set_model
from hostile.kinds import KINDS
from hostile.watch import Watch
from tiny_runs import assert_as_if_never_stopped, go_on, trained

from airkit.errors import AirkitError, DigitsError, ImageError
from airkit.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits and measures memory as Linux does"
)

FEW, MANY = 10, 3_000
"""Files of each kind in the default suite, and in the slow one: 21,000 of seven kinds."""


@pytest.fixture(scope="module", name="seeds")
def _seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    kinds.plant(folder)
    return folder


def check(cases: Sequence[str], seeds: Path) -> tuple[int, set[str]]:
    """Read the files of all cases; returns how many were read, and the refusals' first lines."""
    outcomes = dict(campaign.run(cases, seeds))
    faults = [f"{case}: {'; '.join(it.faults)}" for case, it in outcomes.items() if it.faults]
    assert not faults, "\n".join(faults)
    assert list(outcomes) == list(cases)
    refusals = {it.error.partition("\n")[0] for it in outcomes.values() if it.error}
    return sum(not it.error for it in outcomes.values()), refusals


def test_every_attack(seeds: Path) -> None:
    check(campaign.ATTACKS, seeds)


def test_some_hostile_files(seeds: Path) -> None:
    cases = [f"{name} {number}" for number in range(FEW) for name in KINDS]
    assert check(cases, seeds)[0] > 0.03 * len(cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_many_hostile_files(seeds: Path, name: str) -> None:
    """A reader that refuses everything, or for one reason alone, would show nothing."""
    read, refusals = check([f"{name} {FEW + number}" for number in range(MANY)], seeds)
    assert read > 0.03 * MANY
    assert len(refusals) >= (0 if name == "metrics" else 2)


@pytest.mark.parametrize(
    ("case", "command"),
    [
        ("data a folder", "info it/data.h5"),
        ("checkpoint os.system", "info it/run"),
        ("checkpoint os.system", "eval --run it/run"),
        ("config no UTF-8", "config show --config it/config.toml"),
        ("digits a gzip bomb", "make-data --source it/digits"),
        ("image an array of objects", "infer it/image.npy --run it/run"),
    ],
)
def test_the_command_line_says_so_in_one_message(
    seeds: Path, home: Path, case: str, command: str
) -> None:
    campaign.make(case, seeds, Path("it"))
    told = fails(*command.split())
    assert told.count("airkit: ") == 1
    assert "\n  where     it" in told


# What happens beside a damaged checkpoint


def test_the_optimisers_numbers_come_from_the_settings(tmp_path: Path) -> None:
    """Betas and the like in a forged file change nothing of how training goes on."""
    run = trained(tmp_path / "run")
    newest = RunFolder(run).saved()[-1]
    for path in RunFolder(run).saved():
        found = torch.load(path, weights_only=True)
        found["optimiser"]["param_groups"][0].update(betas=(0.0, 0.0), eps=7.0, maximize=True)
        torch.save(found, path)
    newest.unlink()
    go_on(run)
    assert_as_if_never_stopped(run)


def test_a_forged_newest_checkpoint_is_passed_over(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    path = RunFolder(run).saved()[-1]
    found = torch.load(path, weights_only=True)
    set_model(found, hidden_size=8192)
    torch.save(found, path)
    go_on(run)
    assert_as_if_never_stopped(run)


# The harness itself


def _hog(path: Path) -> None:
    bytearray(600 * 10**6)


def _hog_quietly(path: Path) -> None:
    try:
        _hog(path)
    except MemoryError as error:
        raise AirkitError("All is well", where=path, hint="nothing") from error


def _refuse(kind: type[AirkitError] = ImageError, **told: Any) -> Callable[[Path], None]:
    def refuse(path: Path) -> None:
        raise kind("No", **{"where": path, "hint": "none", **told})

    return refuse


OFFENCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (_refuse(got="x"), ""),
    "exception": (lambda path: 1 // 0, "ZeroDivisionError"),
    "output": (lambda path: os.write(1, b"psst"), "printed 'psst'"),
    "error output": (lambda path: os.write(2, b"psst"), "printed 'psst'"),
    "warning": (lambda path: warnings.warn("mind", stacklevel=1), "warned: mind"),
    "program": (lambda path: os.system("true"), "os.system"),
    "code": (lambda path: eval("1"), "compile"),
    "another file": (lambda path: Path("/etc/hostname").open().close(), "/etc/hostname"),
    "debris": (lambda path: path.with_name("it.part").mkdir(), "left "),
    "half a file": (lambda path: (path / "a.part").mkdir(), "left "),
    "memory": (_hog, "MemoryError"),
    "memory, hidden": (_hog_quietly, "ran out of memory"),
    "another class": (_refuse(DigitsError), "an error of class"),
    "no file": (_refuse(where="somewhere"), "names no file"),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_the_watch_sees(tmp_path: Path, offence: str) -> None:
    read, fault = OFFENCES[offence]
    folder = tmp_path / "input" / "it"
    folder.mkdir(parents=True)
    faults = Watch(folder, (ImageError,)).judge(read).faults
    assert any(fault in found for found in faults) if fault else faults == []


@pytest.mark.slow
def test_a_reading_that_hangs_is_a_failure_and_the_next_goes_on(
    seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sitecustomize`` makes the worker's reader of configurations hang at its first file."""
    (tmp_path / "sitecustomize.py").write_text(
        "import airkit.config.settings as it, hostile.watch\n"
        "hostile.watch.SECONDS = 0.5\n"
        "read = it.from_file\n"
        "def hang(path):\n"
        "    while path.read_bytes()[:5] == b'a = [': pass\n"
        "    return read(path)\n"
        "it.from_file = hang\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (_, hung), (_, read) = campaign.run(["config lists without end", "config 1"], seeds)
    assert "ended with" in hung.faults[0]
    assert read.faults == []
