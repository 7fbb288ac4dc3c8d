"""Classes from outside in a sweep: its workers use them where its call named them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sweeps import InTurn
from tiny_runs import TRAIN, data_file

from airkit.config import settings
from airkit.errors import ExtensionError
from airkit.runs.sweep_folder import Plan, Trial
from airkit.sweeps.engines import Engine, Processes, Submitit
from airkit.sweeps.sweep import sweep
from airkit.sweeps.trial import run_trial
from airkit.system.callbacks import SILENT

MODULE = """
from airkit.evaluation.measures import Measure
from airkit.model.counts import GeometricPrior
from airkit.model.guides.saliency import SaliencyGuide

class Guide(SaliencyGuide):
    pass

class Prior(GeometricPrior):
    pass

class Seen(Measure):
    seen = 0
    def add(self, batch):
        self.seen += len(batch.images)
    def result(self):
        return self.seen
"""
NAMED = {
    "guide.kind": "mine:Guide",
    "prior.kind": "mine:Prior",
    "eval.measures": ["counts", "mine:Seen"],
}
GIVEN = {**TRAIN, "train.steps": 3, **NAMED}


@pytest.fixture(autouse=True)
def _mine(home: Path) -> Iterator[None]:
    (home / "mine.py").write_text(MODULE)
    yield
    sys.modules.pop("mine", None)
    while str(home) in sys.path:
        sys.path.remove(str(home))


@pytest.mark.parametrize("engine", [Processes(1, 1), Submitit(1)], ids=["processes", "submitit"])
def test_workers_get_the_names_that_the_call_has(engine: Engine) -> None:
    if isinstance(engine, Submitit):
        pytest.importorskip("submitit")
    (row,) = sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=engine).rows
    assert row.failure is None
    assert row.measures is not None
    assert row.measures["mine:Seen"] == 20
    stored = json.loads(Path("all/sweep.json").read_text())["config"]
    assert (stored["guide"]["kind"], stored["prior"]["kind"]) == ("mine:Guide", "mine:Prior")


def test_a_sweep_that_goes_on_has_to_name_them_again() -> None:
    engine = InTurn()
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=engine)
    sys.modules.pop("mine")
    for left_out in NAMED:
        others = {key: value for key, value in NAMED.items() if key != left_out}
        with pytest.raises(ExtensionError, match=r"This run was trained with mine:\w+; name it"):
            sweep(folder="all", seeds=2, settings=others, engine=engine)
    assert engine.ran == [0]
    found = sweep(folder="all", seeds=2, settings=NAMED, engine=engine)
    assert [row.failure for row in found.rows] == [None, None]
    assert engine.ran == [0, 1]


def test_the_files_of_a_sweep_alone_make_no_code_run() -> None:
    """Neither in this process nor in a worker's that gets no name."""
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=InTurn())
    sys.modules.pop("mine")
    plan = Plan.read(Path("all"))
    assert settings.named_classes(plan.config) == {}
    with pytest.raises(ExtensionError, match="This run was trained with mine:"):
        run_trial(plan.trial(1), SILENT)
    assert "mine" not in sys.modules
    (row,) = sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=Forgetful(), fresh=True).rows
    assert row.failure is not None
    assert row.failure.startswith("This run was trained with mine:")


class Forgetful(Processes):
    """Workers that are told the sweep's folder and the seed only."""

    def command(self, trial: Trial) -> Sequence[str]:
        return super().command(trial)[:5]


@pytest.mark.parametrize("name", ["mine:Absent", "mine:Seen", "nothing:Here"])
def test_a_class_of_no_use_is_told_before_any_seed(name: str) -> None:
    engine = InTurn()
    with pytest.raises(ExtensionError, match=f"{name} cannot be used as guide.kind"):
        sweep(data_file(), "all", settings={**GIVEN, "guide.kind": name}, engine=engine)
    assert engine.ran == []
    assert not Path("all/sweep.json").exists()
