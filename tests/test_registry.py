"""Classes from outside: named in this call, found, of the right type; and never by a file alone."""

from __future__ import annotations

import sys
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import airkit
from airkit.config import registry, settings
from airkit.config.registry import Named, Registry
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.errors import ExtensionError
from airkit.system.text import did_you_mean

SHAPES: Registry[Any] = Registry("guide.kind", {"round": "string:Formatter"}, "string:Formatter")
"""A base class that every Python has, so that no class of airkit is needed here."""
MODULE = """
from string import Formatter as Shape
class Square(Shape): ...
class Stone: ...
number = 5
"""
KIND = "shapes:Square"


@pytest.fixture(name="shapes", autouse=True)
def _shapes(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with modules in it, as a user's."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("shapes", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (home / "shapes.py").write_text(MODULE)
    broken = "from pathlib import Path\nPath('imported').touch()\nraise KeyError('no such thing')\n"
    (home / "broken.py").write_text(broken)
    return home


def _resolved(*layers: Layer) -> str:
    return settings.resolve(*layers).guide.kind


def test_an_own_name_and_a_class_that_was_named() -> None:
    assert SHAPES[Named(KIND)].__name__ == "Square"
    assert SHAPES["round"].__name__ == "Formatter"
    assert list(SHAPES) == ["round"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("roundd", "got       roundd; did you mean round?"),
        ("square", "expected  round or package.module:Class"),
        (KIND, "name it with --set guide.kind=shapes:Square to use it"),
        (Named("nowhere:Square"), "got       ModuleNotFoundError: No module named 'nowhere'"),
        (Named("shapes:Squar"), "got       AttributeError: shapes has no Squar; did you mean Squ"),
        (Named("shapes:Stone"), "got       <class 'shapes.Stone'>"),
        (Named("shapes:number"), "got       5"),
        (Named("broken:Square"), "got       KeyError: 'no such thing'"),
    ],
)
def test_a_class_that_cannot_be_used(name: str, told: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        _ = SHAPES[name]
    assert told in str(caught.value)
    assert "guide.kind" in caught.value.hint


def test_the_nearest_name_alone_is_suggested() -> None:
    assert did_you_mean("roundd", ["rounds", "round"]) == "; did you mean round?"


def test_a_name_from_a_file_is_never_imported(shapes: Path) -> None:
    with pytest.raises(ExtensionError, match="This run was trained with broken:Square"):
        _ = SHAPES["broken:Square"]
    assert not (shapes / "imported").exists()


def test_the_person_names_a_class_in_every_way(shapes: Path) -> None:
    (shapes / "mine.toml").write_text(f'[guide]\nkind = "{KIND}"\n')
    for layer in (
        settings.from_file(shapes / "mine.toml"),
        settings.from_assignment(f"guide.kind={KIND}"),
        settings.from_flag("--kind", "guide.kind", KIND),
        *settings.layers({"guide.kind": KIND}),
        *settings.layers({"guide": {"kind": KIND}}),
    ):
        assert type(_resolved(layer)) is Named


def test_the_mark_is_lost_in_files_and_comes_back_with_the_name() -> None:
    config = settings.resolve(*settings.layers({"guide.kind": KIND}))
    assert type(config.model_copy(update={"render": Config().render}).guide.kind) is Named
    read = settings.from_json(settings.to_json(config), "run")
    assert read == config
    assert type(read.guide.kind) is str
    recorded = Layer("run", read.model_dump(), recorded=True)
    assert type(_resolved(recorded)) is str
    assert type(_resolved(recorded, settings.from_assignment(f"guide.kind={KIND}"))) is Named


def test_names_in_lists_are_marked_too() -> None:
    found = registry.named([KIND, "round", 3])
    assert [type(each) for each in found] == [Named, str, int]


@pytest.mark.parametrize("kind", ["gru", "a b:C", "os.system", ":C", "a:", "a:B:C", "a:b.c"])
def test_other_text_is_no_class(kind: str) -> None:
    with pytest.raises(airkit.errors.ConfigError):
        _resolved(*settings.layers({"guide.kind": kind}))


def test_a_class_of_the_running_script_or_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shape(Formatter): ...

    monkeypatch.setattr(sys.modules["__main__"], "Shape", Shape, raising=False)
    assert SHAPES[Named("__main__:Shape")] is Shape
