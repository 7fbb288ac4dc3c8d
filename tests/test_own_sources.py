"""Sources of digits from outside airkit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import test_docs
from command_line import run
from own_classes import SMALL, make
from own_module import MODULE, forget
from some_truth import whole

from airkit.config.settings import Layer, from_file, to_toml
from airkit.data.make import make_data
from airkit.data.reader import read_info, verify
from airkit.errors import DigitsError, ExtensionError

pytestmark = pytest.mark.usefixtures("mine")


def test_canvases_of_a_source() -> None:
    report = make_data("one.h5", settings=SMALL)
    info = read_info(report.path)
    assert (report.source, info.source, info.config.data.source) == ("mine:Bars",) * 3
    assert (info.licence, info.attribution) == ("CC0-1.0", "drawn by the tests")
    canvases = whole("train", report.path)
    assert set(np.unique(canvases.source_index)) <= {-1, *range(8)}, "one digit is in val, too"
    assert set(np.unique(canvases.label)) == {-1, 0, 1}
    forget()
    assert make("two.h5").read_bytes() == report.path.read_bytes()
    assert make_data("three.h5", settings=SMALL, workers=2).content_digest == info.content_digest


def test_the_example_of_a_source(home: Path) -> None:
    (body,) = test_docs.blocks(test_docs.DOCS / "sources.md", "python")
    (home / "squares.py").write_text(body)
    assert verify(make("squares.h5", "squares:Squares"))


def test_a_data_file_makes_no_code_run(home: Path) -> None:
    """It is read without the class, and made again only where the call names it."""
    sizes = ("--train", "30", "--val", "8", "--test", "6", "--out", "one.h5")
    assert "mine:Bars" in run("make-data", "--source", "mine:Bars", *sizes).stdout
    config = read_info(Path("one.h5")).config
    forget()
    recorded = Layer("one.h5", config.model_dump(), recorded=True)
    with pytest.raises(ExtensionError, match="name it with --set data"):
        make_data("two.h5", settings=[recorded])
    assert "mine:Bars" in run("info", "one.h5", "--verify").stdout
    assert "mine" not in sys.modules
    assert not Path("two.h5").exists()
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
        make("one.h5", "mine:WrongBars")
    where = f"mine:WrongBars, {split} digits" if split else "mine:WrongBars"
    assert f"  where     {where}\n" in str(caught.value)
    assert f"  got       {got}\n" in str(caught.value)
    assert not Path("one.h5").exists()
