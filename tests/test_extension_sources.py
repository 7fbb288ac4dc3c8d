"""Sources of digits from outside airkit, and what is told of those of no use."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_docs
from command_line import fails, run

from airkit.config.settings import Layer, from_file, to_toml
from airkit.data.make import make_data
from airkit.data.reader import read_info, read_split, verify
from airkit.errors import DigitsError, ExtensionError

MODULE = """
import numpy as np
from airkit.data.digits import Digits, DigitSource

def bars(count, first):
    images = np.zeros((count, 8, 8), np.uint8)
    for row in range(count):
        images[row, 1:7, 3:5] = 100 + first + row
    return Digits(images, np.arange(count) % 2)

class Bars(DigitSource):
    licence = "CC0-1.0"
    attribution = "drawn by the tests"
    def pools(self, listener):
        return {"train": bars(9, 0), "val": bars(3, 8), "test": bars(2, 20)}

class Wrong(Bars):
    def pools(self, listener):
        train, val, test = super().pools(listener).values()
        return EXPRESSION

class Raising(Bars):
    def pools(self, listener):
        1 / 0
"""
SMALL = {
    "data.source": "mine:Bars",
    "data.canvas_size": 24,
    "data.digit_size": 8.0,
    "data.digit_size_sd": 0.5,
    "data.train": 30,
    "data.val": 8,
    "data.test": 6,
}


@pytest.fixture(autouse=True)
def _mine(home: Path) -> Iterator[None]:
    """A module ``mine`` in the current folder."""
    (home / "mine.py").write_text(MODULE)
    yield
    forget()
    while str(home) in sys.path:
        sys.path.remove(str(home))


def forget() -> None:
    sys.modules.pop("mine", None)


def make(path: str, settings: Mapping[str, Any] = SMALL) -> Path:
    return make_data(path, settings=settings).path


def test_canvases_of_a_source_from_outside() -> None:
    report = make_data("one.h5", settings=SMALL)
    info = read_info(report.path)
    assert (report.source, info.source, info.config.data.source) == ("mine:Bars",) * 3
    assert (info.licence, info.attribution) == ("CC0-1.0", "drawn by the tests")
    canvases = read_split(report.path, "train")
    assert set(np.unique(canvases.source_index)) <= {-1, *range(8)}, "one digit is in val, too"
    assert set(np.unique(canvases.label)) == {-1, 0, 1}
    forget()
    assert make("two.h5").read_bytes() == report.path.read_bytes()
    assert make_data("three.h5", settings=SMALL, workers=2).content_digest == info.content_digest


def test_the_example_of_the_docs(home: Path) -> None:
    (body,) = test_docs.blocks(test_docs.DOCS / "sources.md", "python")
    (home / "squares.py").write_text(body)
    report = make_data("squares.h5", settings={**SMALL, "data.source": "squares:Squares"})
    assert verify(report.path) == report.content_digest


def test_on_the_command_line() -> None:
    sizes = ("--train", "30", "--val", "8", "--test", "6")
    assert "digits    mine:Bars\n" in run("make-data", "--source", "mine:Bars", *sizes).stdout
    forget()
    assert "mine:Bars" in run("info", "multi-mnist.h5", "--verify").stdout
    assert "mine" not in sys.modules


def test_a_recorded_name_makes_no_code_run(home: Path) -> None:
    """Data files are read without the class, and made again only where the call names it."""
    config = read_info(make("one.h5")).config
    forget()
    recorded = Layer("one.h5", config.model_dump(), recorded=True)
    with pytest.raises(ExtensionError) as caught:
        make_data("two.h5", settings=[recorded])
    assert caught.value.what == (
        "These canvases were made with mine:Bars; name it with --set data.source=mine:Bars to "
        "use it"
    )
    (home / "mine.py").unlink()
    assert verify(Path("one.h5"))
    assert "mine" not in sys.modules
    assert not Path("two.h5").exists()
    (home / "mine.py").write_text(MODULE)
    (home / "config.toml").write_text(to_toml(config))
    assert make_data("two.h5", settings=[from_file(home / "config.toml")]).source == "mine:Bars"


def pool(shape: tuple[int, ...], kind: str = "np.uint8", labels: str = "[0, 0, 0]") -> str:
    return f"Digits(np.zeros({shape}, {kind}), np.array({labels}))"


@pytest.mark.parametrize(
    ("split", "value", "got"),
    [
        ("val", pool((3, 8, 8), "float"), "float64 [3, 8, 8], int64 [3], int32 [3]"),
        ("test", pool((3, 8, 9)), "uint8 [3, 8, 9], int64 [3], int32 [3]"),
        ("train", pool((3, 8, 8), labels="[0, 0]"), "uint8 [3, 8, 8], int64 [2], int32 [2]"),
        ("train", pool((3, 8, 8), labels="[0.0] * 3"), "uint8 [3, 8, 8], float64 [3], int32 [3]"),
        ("train", pool((3, 8, 8), labels="[0, 1, -1]"), "-1"),
        ("train", pool((3, 8, 8), labels="[0, 127, 128]"), "128"),
        ("train", "[1, 2]", "list"),
        ("", pool((3, 9, 9)), "sides of [8, 9] px"),
        ("", None, "['train', 'val']"),
    ],
)
def test_digits_that_cannot_be_used(home: Path, split: str, value: str | None, got: str) -> None:
    pools = {name: name for name in ("train", "val", "test")} | {split or "test": value}
    entries = ", ".join(f"{name!r}: {it}" for name, it in pools.items() if it)
    (home / "mine.py").write_text(MODULE.replace("EXPRESSION", f"{{{entries}}}"))
    with pytest.raises(DigitsError) as caught:
        make("one.h5", {**SMALL, "data.source": "mine:Wrong"})
    assert caught.value.what == "The digits cannot be used"
    where = f"mine:Wrong, {split} digits" if split else "mine:Wrong"
    assert f"  where     {where}\n" in str(caught.value)
    assert f"  got       {got}\n" in str(caught.value)
    assert not Path("one.h5").exists()


def test_a_class_that_fails(home: Path) -> None:
    told = fails("make-data", "--source", "mine:Raising")
    assert told.startswith("airkit: mine:Raising failed\n")
    line = 1 + MODULE.splitlines().index("        1 / 0")
    assert f"where     {home / 'mine.py'}, line {line}\n" in told
    assert "got       ZeroDivisionError: division by zero" in told
