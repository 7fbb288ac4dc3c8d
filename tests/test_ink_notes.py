"""``make-data``, ``train``, ``infer`` and ``demo`` tell in one note what is off with ink."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from idx_files import mnist_like, write_folder
from PIL import Image
from reading import read_all
from test_infer import canvases
from tiny_runs import DATA, Recorder, fit, reference

import airkit
from airkit.data import sources, strokes
from airkit.web.session import open_session

Array = np.ndarray[Any, Any]
NINE = {"model.slots": 9}  # which are never all on
SPOILT: dict[str, tuple[Callable[[Array], Any], str]] = {
    "0 and 1": (lambda x: (x > 99).astype(np.uint8), "read as blank and full ink"),
    "up to 16": (lambda x: x // 16, "faint"),
    "35 %": (lambda x: (x * 0.35).astype(np.uint8), "faint"),
    "dark on white": (lambda x: 255 - x, "bright at the border"),
    "on grey": (lambda x: np.maximum(x, 30), "ground"),
}


def digits(spoil: Callable[[Array], Array]) -> dict[str, Array]:
    """Strokes as four files."""
    arrays: dict[str, Array] = {**mnist_like(train=90, test=30)}
    for part, count in (("train", 90), ("t10k", 30)):
        arrays[f"{part}-images-idx3-ubyte"] = spoil(strokes.draw(count, count, "test")[0])
    return arrays


@pytest.mark.parametrize("name", SPOILT)
def test_digits_canvases_and_what_is_trained_on_them(name: str, home: Path) -> None:
    spoil, words = SPOILT[name]
    write_folder(home / "mine", digits(spoil))
    makes, trains, shows = Recorder(), Recorder(), Recorder()
    given = {**DATA, "data.source": "./mine"}
    airkit.make_data("made.h5", settings=given, listener=makes)
    (note,) = makes.notes
    assert note.startswith("./mine: ")
    assert words in note
    fit(Path("run"), Path("made.h5"), trains, train__steps=1)
    open_session("run", "best", (), shows)
    if name == "0 and 1":
        assert trains.notes == shows.notes == []
    for notes in [] if name == "0 and 1" else [trains.notes, shows.notes]:
        (note,) = notes
        assert note.startswith(f"{home}/made.h5: ")
        assert words in note or (name.startswith("dark") and "bright or grey background" in note)


def test_0_and_1_are_decided_over_the_whole_source(home: Path) -> None:
    arrays = digits(lambda x: (x > 99).astype(np.uint8))
    pools = sources.load(str(write_folder(home / "binary", arrays))).pools
    for split, digits_of in pools.items():
        assert set(np.unique(digits_of.images)) == {0, 255}, split
    listener = Recorder()
    arrays["t10k-images-idx3-ubyte"] *= 200
    pools = sources.load(str(write_folder(home / "mixed", arrays)), listener).pools
    assert [int(pools[split].images.max()) for split in ("train", "val", "test")] == [1, 1, 200]
    (note,) = listener.notes
    assert "multiply them by 255" in note


def infer(given: Any, **options: Any) -> tuple[list[int], str]:
    """Counts and the one note."""
    listener = Recorder()
    options["settings"] = NINE
    found = airkit.infer(given, reference(), listener=listener, **options)
    (note,) = listener.notes
    return [each.count for each in found], note


def flat(grey: Array, colour: tuple[int, int, int], opaque: Array | None = None) -> Image.Image:
    """Ink of a colour on black, or on what is transparent."""
    values = grey[..., None] / 255 * np.array(colour)
    layers = [values] if opaque is None else [values, opaque[..., None]]
    return Image.fromarray(np.concatenate(layers, axis=-1).astype(np.uint8))


ONE = canvases()[1]
OFF: dict[str, tuple[Any, str]] = {
    "uint8 of 0 and 1": ((ONE > 99).astype(np.uint8), "multiply them by 255"),
    "8 bits in 16": (Image.fromarray(ONE.astype(np.uint16)), "multiply them by 256"),
    "12 bits in 16": (Image.fromarray(ONE.astype(np.uint16) * 16), "12-bit values"),
    "black on transparent": (flat(ONE * 0, (0, 0, 0), ONE), "add --invert"),
    "navy on transparent": (flat(ONE * 0 + 255, (0, 0, 99), ONE), "add --invert"),
    "white, nearly transparent": (flat(ONE * 0 + 255, (255,) * 3, ONE // 4), "faint"),
    "blue": (flat(ONE, (0, 0, 255)), "luminance"),
    "red": (np.asarray(flat(ONE, (255, 0, 0))), "luminance"),
    "faint": (ONE * np.float32(0.35 / 255), "faint"),
    "faint tensor": (torch.tensor(ONE // 4), "faint"),
    "grey background": (np.maximum(ONE, 60), "background"),
    "paper, not quite white": (200 - ONE // 2, "add --invert"),
    "noise": (np.maximum(ONE, np.random.default_rng(0).integers(0, 30, ONE.shape)), "background"),
    "4 times too large": (np.kron(ONE, np.ones((4, 4), np.uint8)), "scale the images"),
    "4 times too small": (np.pad(ONE, 60).reshape(36, 4, 36, 4).max((1, 3)), "scale the images"),
}


@pytest.mark.parametrize("name", OFF)
def test_images_are_told_by_their_cause(name: str) -> None:
    given, words = OFF[name]
    given = given.astype(np.uint8) if getattr(given, "dtype", None) == np.int64 else given
    alone = "times" in name  # sizes are those of all images together
    _, note = infer(given if alone else [ONE, given])
    assert note.startswith("image-0: " if alone else "image-1: ")
    assert words in note
    assert "--slots" not in note


def test_inverted_and_transparent() -> None:
    """With ``invert``, bright ink on transparent is taken for blank."""
    _, note = infer(flat(ONE * 0 + 255, (255, 255, 255), ONE), invert=True)
    assert "leave --invert out" in note


def test_a_stack_of_0_and_1_is_full_ink() -> None:
    """The counts are those of bool; a single image is not decided."""
    ink = canvases()[:6] > 99
    counts, note = infer(ink.astype(np.uint8))
    assert note.startswith("image-0 and 5 more: values of 0 and 1")
    assert counts == [
        each.count for each in airkit.infer(ink, reference(), settings={"model.slots": 9})
    ]
    inks = [grey.ink for grey in read_all(ink.astype(np.uint8), invert=True)]
    assert np.array_equal(inks, ~ink)
    (grey,) = read_all(ink[1:2].astype(np.uint8))
    assert grey.ink.max() == np.float32(1 / 255)


def test_each_cause_is_told_once() -> None:
    listener = Recorder()
    given = [ONE // 4, ONE // 8, 255 - ONE, ONE, ONE // 4]
    airkit.infer(given, reference(), settings=NINE, listener=listener)
    assert [note.split(",")[0].split(":")[0] for note in listener.notes] == [
        "image-0 and 2 more",
        "image-2",
    ]


def test_nothing_is_told_of_canvases() -> None:
    listener = Recorder()
    airkit.infer(canvases(), reference(), settings=NINE, listener=listener)
    airkit.infer(np.maximum(canvases(), 3), reference(), settings=NINE, listener=listener)
    airkit.infer([*canvases()], reference(), settings=NINE, listener=listener)
    for blank in (np.zeros((24, 24), np.uint8), Image.new("RGBA", (24, 24))):
        airkit.infer(blank, reference(), settings=NINE, listener=listener)
    assert listener.notes == []
