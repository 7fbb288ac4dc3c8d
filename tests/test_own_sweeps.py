"""Sweeps of runs with classes from outside airkit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from own_classes import SWEPT
from own_module import forget
from sweeps import InTurn
from tiny_runs import TRAIN, data_file

from airkit.config import settings
from airkit.errors import ExtensionError
from airkit.runs.sweep_folder import Plan, Trial
from airkit.sweeps.engines import Processes
from airkit.sweeps.sweep import sweep
from airkit.sweeps.trial import run_trial
from airkit.system.callbacks import SILENT

pytestmark = pytest.mark.usefixtures("mine")
GIVEN = {**TRAIN, "train.steps": 3, **SWEPT}


def test_a_sweep_that_goes_on_has_to_name_them_again() -> None:
    engine = InTurn()
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=engine)
    forget()
    for left_out in SWEPT:
        others = {key: value for key, value in SWEPT.items() if key != left_out}
        with pytest.raises(ExtensionError, match=r"This run was trained with mine:\w+; name it"):
            sweep(folder="all", seeds=2, settings=others, engine=engine)
    assert engine.ran == [0]
    found = sweep(folder="all", seeds=2, settings=SWEPT, engine=engine)
    assert [row.failure for row in found.rows] == [None, None]
    assert engine.ran == [0, 1]


class Forgetful(Processes):
    """Workers that are told the sweep's folder and the seed only."""

    def command(self, trial: Trial) -> Sequence[str]:
        return super().command(trial)[:5]


def test_the_files_of_a_sweep_alone_make_no_code_run() -> None:
    """Neither in this process nor in a worker's that gets no name."""
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=InTurn())
    forget()
    plan = Plan.read(Path("all"))
    assert settings.named_classes(plan.config) == {}
    with pytest.raises(ExtensionError, match="This run was trained with mine:"):
        run_trial(plan.trial(1), SILENT)
    assert "mine" not in sys.modules
    (row,) = sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=Forgetful(), fresh=True).rows
    assert row.failure is not None
    assert row.failure.startswith("This run was trained with mine:")


def test_a_class_of_no_use_is_told_before_any_seed() -> None:
    engine = InTurn()
    with pytest.raises(ExtensionError, match="mine:Seen cannot be used"):
        sweep(data_file(), "all", settings={**GIVEN, "guide.kind": "mine:Seen"}, engine=engine)
    assert engine.ran == []
    assert not Path("all/sweep.json").exists()
