"""Figures from outside: drawn where the call names the class, refused in one message otherwise."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import fails, run
from PIL import Image
from tiny_runs import fit, reference

from airkit.errors import ExtensionError
from airkit.figures import FIGURES, Drawing
from airkit.figures.render import render

OTHERS = """
from matplotlib.figure import Figure
from airkit.errors import OutputError
from airkit.figures import Drawing, Request

class Large(Drawing):
    def draw(self, request: Request) -> Figure:
        return Figure(figsize=(5, 2), dpi=200)

class Nothing(Drawing):
    def draw(self, request: Request) -> Figure:
        return None

class Raising(Drawing):
    def draw(self, request: Request) -> Figure:
        raise ZeroDivisionError("in the middle")

class Mending(Drawing):
    def draw(self, request: Request) -> Figure:
        raise OutputError("No place for it", hint="another place")

class Unrelated:
    pass

def function():
    pass
"""


@pytest.fixture(autouse=True)
def _modules(home: Path) -> Iterator[None]:
    """Files here: ``counts.py``, the example of the docstring, ``others.py``, ``broken.py``."""
    documentation = inspect.getdoc(Drawing) or ""
    example = documentation.partition("::\n")[2]
    (home / "counts.py").write_text(textwrap.dedent(example), encoding="utf-8")
    (home / "others.py").write_text(OTHERS, encoding="utf-8")
    (home / "broken.py").write_text("import nowhere", encoding="utf-8")
    path = sys.path.copy()
    yield
    sys.path[:] = path
    for name in ("counts", "others", "broken"):
        sys.modules.pop(name, None)


def test_the_example_of_the_docstring_is_drawn(home: Path) -> None:
    result = run(
        "render", "--run", reference(), "--kind", "counts:Counts", "--out", "a.png", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "path": "a.png", "kind": "counts:Counts", "width": 400, "height": 300, "canvases": 20
    }  # fmt: skip
    with Image.open(home / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (400, 300))


@pytest.mark.parametrize("how", ["--kind", "--set", "--config"])
def test_the_class_may_be_named_by_flag_setting_or_file(how: str, home: Path) -> None:
    (home / "it.toml").write_text('[render]\nkind = "others:Large"\n')
    words = {"--kind": "others:Large", "--set": "render.kind=others:Large", "--config": "it.toml"}
    result = run("render", "--run", reference(), how, words[how], "--out", "a.png")
    assert result.exit_code == 0, result.output
    with Image.open(home / "a.png") as image:
        assert image.size == (1000, 400), "the figure's own size and resolution"


def test_by_default_the_file_has_the_name_of_the_class(home: Path) -> None:
    picture = render(home / "run", kind="others:Large")
    assert picture.path == home / "run" / "figures" / "Large.png"
    assert (picture.kind, picture.canvases) == ("others:Large", 0)


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        ("nowhere:Large", "No module named 'nowhere'"),
        ("broken:Large", "No module named 'nowhere'"),
        ("others:Larg", "did you mean Large?"),
        ("others:Unrelated", "others.Unrelated"),
        ("others:function", "function"),
        ("others:Nothing", "NoneType"),
    ],
)
def test_what_cannot_be_drawn_is_told(kind: str, got: str, home: Path) -> None:
    told = fails("render", "--run", reference(), "--kind", kind, "--out", "a.png")
    assert got in told
    assert "render.kind" in told
    assert not (home / "a.png").exists()


def test_what_a_figure_raises_is_told_and_leaves_the_old_picture(home: Path) -> None:
    target = render(home, kind="others:Large", out=home / "out" / "a.png").path
    before = target.read_bytes()
    told = fails("render", "--kind", "others:Raising", "--out", target)
    assert told.startswith("airkit: others:Raising failed\n")
    assert "others.py, line 16\n" in told
    assert "ZeroDivisionError: in the middle" in told
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == before
    assert "No place for it" in fails("render", "--kind", "others:Mending", "--out", target)


def test_a_class_that_only_the_run_names_is_not_imported(home: Path) -> None:
    (home / "others.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    fit(home / "run", train__steps=1, render__kind="others:Large")
    with pytest.raises(ExtensionError, match=r"name it with --set render\.kind=others:Large"):
        render(home / "run")
    assert render(home / "run", kind="data").kind == "data"


def test_every_kind_of_airkits_own_derives_from_the_same_class() -> None:
    for name in FIGURES:
        assert issubclass(FIGURES[name], Drawing)
