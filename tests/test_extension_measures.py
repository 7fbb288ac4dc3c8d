"""Measures from outside: in Python and with ``--set``, and what is told of those of no use."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from command_line import fails, run
from tiny_runs import fit, reference

from airkit.config.sections import EvalConfig
from airkit.errors import AirkitError, ExtensionError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import Evaluation, evaluate
from airkit.evaluation.measures import MEASURES, Measure
from airkit.runs.trained import open_run
from airkit.system.callbacks import SILENT

MODULE = """
import numpy as np
import torch
from airkit.evaluation.measures import Measure

class Seen(Measure):
    seen = 0
    def add(self, batch):
        self.seen += len(batch.images)
        self.shapes = [tuple(batch.scene.box.shape), tuple(batch.counts.shape)]
    def result(self):
        return {"seen": np.int64(self.seen), "last": self.shapes, "none": float("nan")}

class Draws(Measure):
    needs = frozenset({"counts"})
    def __init__(self, trained):
        super().__init__(trained)
        self.drawn = torch.rand(3, generator=trained.generator("mine"))
    def add(self, batch):
        torch.rand(9, generator=self.trained.generator("mine"))
    def result(self):
        return self.drawn

class Raising(Seen):
    def add(self, batch):
        1 / 0

class Odd(Seen):
    def result(self):
        return object()

class Incomplete(Measure):
    pass

not_a_class = 3
"""


@pytest.fixture(autouse=True)
def _mine(home: Path) -> Iterator[None]:
    """A module ``mine`` in the current folder."""
    (home / "mine.py").write_text(MODULE)
    (home / "broken.py").write_text("import nothing_of_that_name")
    yield
    sys.modules.pop("mine", None)
    while str(home) in sys.path:
        sys.path.remove(str(home))


def with_measures(*names: str, **settings: Any) -> dict[str, Any]:
    return evaluate(reference(), settings={"eval.measures": list(names), **settings}).to_dict()


def test_in_python_and_on_the_command_line() -> None:
    mine = {"seen": 20, "last": [[6, 3, 4], [6]], "none": None}
    plain = evaluate(reference()).to_dict()
    found = with_measures(*MEASURES, "mine:Seen")
    assert found == {**plain, "seconds": found["seconds"], "mine:Seen": mine}
    assignment = 'eval.measures=["counts", "mine:Seen"]'
    told = json.loads(run("eval", "--run", reference(), "--json", "--set", assignment).stdout)
    assert list(told) == list(found)
    assert told["mine:Seen"] == mine
    assert (told["count_accuracy"], told["elbo"]) == (plain["count_accuracy"], None)
    lines = run("eval", "--run", reference(), "--set", assignment).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith(("ELBO", "mine:Seen"))] == [
        ["ELBO", "-"],
        ["mine:Seen", *json.dumps(mine).split()],
    ]


def test_the_example_of_the_docs(home: Path) -> None:
    text = (Measure.__doc__ or "").partition("::\n")[2]
    (home / "docs_example.py").write_text(textwrap.dedent(text))
    share = with_measures("docs_example:MissingInk")["docs_example:MissingInk"]
    assert 0 < share < 1


def test_what_is_left_out_is_null_and_moves_nothing_else() -> None:
    plain, boxes = evaluate(reference()).to_dict(), with_measures("boxes", "mine:Draws")
    kept = ("canvases", "mean_iou", "ap50", "looks", "run", "data", "data_digest", "split")
    for name, value in plain.items():
        if name in kept:
            assert boxes[name] == value
        elif name not in ("seconds", "likelihood_samples", "checkpoint"):
            assert boxes[name] is None, name
    assert with_measures("likelihood", "mine:Draws")["elbo"] == plain["elbo"]
    assert boxes["mine:Draws"] == with_measures("mine:Draws")["mine:Draws"]
    lines = run("eval", "--run", reference(), "--set", 'eval.measures=["boxes"]').stdout
    assert "count accuracy, one look  -" in lines
    assert "confusion" not in lines


def test_without_truth_nothing_is_made_up() -> None:
    """A measure that needs true counts or boxes is null where the data has none."""
    names = [*MEASURES, "mine:Draws"]
    trained = open_run(reference(), None, "best", {"eval.measures": names}, SILENT)
    dataset: Any = trained.canvases
    dataset.counts = dataset.boxes = None
    found = Evaluation(trained).all(SILENT).measures("").to_dict()
    assert [found[name] for name in ("count_accuracy", "confusion", "ap50")] == [None] * 3
    assert (found["mine:Draws"], found["canvases"]) == (None, 20)
    whole = evaluate(reference())
    assert (found["elbo"], found["mse"]) == (whole.elbo, whole.mse)


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("mine:Absent", "AttributeError"),
        ("nothing.of:ThatName", "ModuleNotFoundError"),
        ("broken:Seen", "No module named 'nothing_of_that_name'"),
        ("mine:not_a_class", "got       3"),
        ("pathlib:Path", "got       <class 'pathlib.Path'>"),
    ],
)
def test_classes_that_cannot_be_used(name: str, got: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        with_measures(name)
    assert caught.value.what == f"{name} cannot be used as eval.measures"
    assert got in str(caught.value)


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("Raising", "ZeroDivisionError: division by zero"),
        ("Incomplete", "TypeError: Can't instantiate abstract class"),
        ("Odd", "TypeError: a result of type object, which JSON does not have"),
    ],
)
def test_classes_that_fail(name: str, got: str) -> None:
    told = fails("eval", "--run", reference(), "--set", f'eval.measures=["mine:{name}"]')
    assert f"airkit: The measure mine:{name} failed\n" in told
    assert f"got       {got}" in told
    assert ("where" in told) == (name == "Raising")
    if name == "Raising":
        line = 1 + MODULE.splitlines().index("        1 / 0")
        assert f"mine.py, line {line}\n" in told


def test_a_run_that_records_one_makes_no_code_run(tmp_path: Path) -> None:
    names = ["counts", "mine:Seen"]
    trained = tmp_path / "run"
    fit(trained, train__steps=2, eval__measures=names)
    with pytest.raises(ExtensionError) as caught:
        evaluate(trained)
    assert "mine" not in sys.modules
    assert caught.value.what.startswith("This run was trained with mine:Seen; name it with --set ")
    assert """settings={'eval.measures': ["counts", "mine:Seen"]}""" in caught.value.hint
    assert """--set 'eval.measures=["counts", "mine:Seen"]'""" in caught.value.hint
    assert evaluate(trained, settings={"eval.measures": names}).outside["mine:Seen"]["seen"] == 20
    assert evaluate(trained, settings={"eval.measures": ["counts"]}).outside == {}


def test_names_that_are_none() -> None:
    told = fails("eval", "--run", reference(), "--set", "eval.measures=[1]")
    assert "each entry counts or boxes or likelihood or reconstruction or package.module:C" in told


def test_work_that_rests_on_counts_refuses_to_go_without() -> None:
    with pytest.raises(AirkitError, match="Counts are compared here") as caught:
        compare(reference(), reference(), settings={"eval.measures": ["boxes"]})
    assert 'got       ["boxes"]' in str(caught.value)


def test_the_schema_lists_the_registry() -> None:
    names = EvalConfig.model_fields["measures"].annotation
    literal = get_args(get_args(names)[0])[0]
    assert get_args(literal) == tuple(MEASURES) == EvalConfig().measures
