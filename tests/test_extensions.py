"""Classes from outside airkit: used where the call names them, and told of where that fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from own_classes import make, measured
from own_module import MODULE, forget
from tiny_runs import fit, reference

from airkit.errors import AirkitError, ExtensionError
from airkit.evaluation.evaluate import evaluate
from airkit.figures.render import render

pytestmark = pytest.mark.usefixtures("mine")

USES: dict[str, Callable[[str], object]] = {
    "guide.kind": lambda name: fit(Path("run"), guide__kind=name),
    "model.decoder": lambda name: fit(Path("run"), model__decoder=name),
    "prior.kind": lambda name: fit(Path("run"), prior__kind=name),
    "train.estimator": lambda name: fit(Path("run"), train__estimator=name),
    "data.source": lambda name: make("one.h5", name),
    "eval.measures": measured,
    "render.kind": lambda name: render(reference(), kind=name, out=Path("a.png")),
}
"""By setting, what names a class with it."""


@pytest.mark.parametrize("setting", USES)
@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("mine:Absent", "AttributeError"),
        ("nothing.of:ThatName", "ModuleNotFoundError"),
        ("pathlib:Path", "got       <class 'pathlib.Path'>"),
    ],
)
def test_classes_that_cannot_be_used(setting: str, name: str, got: str, home: Path) -> None:
    unusable(setting, name, got, home)


@pytest.mark.parametrize(
    ("setting", "name", "missing"),
    [
        ("guide.kind", "NoGuide", "advance, propose"),
        ("model.decoder", "NoDecoder", "forward"),
        ("prior.kind", "NoPrior", "log_prob"),
        ("train.estimator", "NoObjective", "forward, random"),
        ("data.source", "NoBars", "pools"),
        ("eval.measures", "NoMeasure", "add, result"),
        ("render.kind", "NoFigure", "draw"),
    ],
)
def test_methods_that_are_missing(setting: str, name: str, missing: str, home: Path) -> None:
    unusable(setting, f"mine:{name}", f"lacks {missing}\n", home)


def unusable(setting: str, name: str, got: str, home: Path) -> None:
    """The class cannot be used with the setting, and nothing is written."""
    with pytest.raises(ExtensionError) as caught:
        USES[setting](name)
    assert caught.value.what == f"{name} cannot be used as {setting}"
    assert got in str(caught.value)
    assert not {"run", "one.h5", "a.png"} & {each.name for each in home.iterdir()}


@pytest.mark.parametrize(
    ("setting", "name", "got"),
    [
        ("eval.measures", "RaisingMeasure", "ZeroDivisionError: division by zero"),
        ("eval.measures", "OddMeasure", "TypeError: a result of type object"),
        ("eval.measures", "RaisingResult", "ZeroDivisionError: division by zero"),
        ("data.source", "RaisingBars", "ZeroDivisionError: division by zero"),
        ("render.kind", "RaisingFigure", "ZeroDivisionError: division by zero"),
        ("render.kind", "Nothing", "NoneType"),
    ],
)
def test_classes_that_fail(setting: str, name: str, got: str, home: Path) -> None:
    """One message, with the line of the class that failed; what was there before stays."""
    Path("a.png").write_text("old")
    with pytest.raises(AirkitError) as caught:
        USES[setting](f"mine:{name}")
    told = str(caught.value)
    assert f"mine:{name}" in told
    assert got in told
    if name.startswith("Raising"):
        (line,) = re.findall(rf"{home / 'mine.py'}, line (\d+)\n", told)
        assert MODULE.splitlines()[int(line) - 1].strip() == "1 / 0"
    assert "json" not in told
    assert Path("a.png").read_text() == "old"
    assert not Path("one.h5").exists()


def test_a_run_that_records_classes_makes_no_code_run() -> None:
    run = Path("run")
    names = ["counts", "mine:Seen"]
    fit(run, train__steps=2, eval__measures=names, render__kind="mine:Large")
    forget()
    with pytest.raises(ExtensionError, match=r"name it with --set render\.kind=mine:Large"):
        render(run)
    with pytest.raises(ExtensionError, match="This run was trained with mine:Seen") as caught:
        evaluate(run)
    assert """--set 'eval.measures=["counts", "mine:Seen"]'""" in caught.value.hint
    assert render(run, kind="data").kind == "data"
    assert "mine" not in sys.modules
    assert evaluate(run, settings={"eval.measures": names}).outside["mine:Seen"]["seen"] == 20
    assert evaluate(run, settings={"eval.measures": ["counts"]}).outside == {}
