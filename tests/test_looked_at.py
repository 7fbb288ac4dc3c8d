"""``render --kind data`` of imported pictures: the picture, its background, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import blobs, imported
from PIL import Image

from airkit.config.schema import Config, DataConfig, ModelConfig, PicturesConfig, RenderConfig
from airkit.data.canvases import Canvases
from airkit.figures.looked_at import looked_at
from airkit.figures.marks import SLOTS, Frame
from airkit.figures.render import render
from airkit.figures.sheet import Sheet

SIDE, SIZE = 48, 10
LOOKS: dict[str, dict[str, Any]] = {
    "bright on black": {"background": "none"},
    "dark on bright": {"background": "constant", "polarity": "dark"},
    "bright on a gradient": {"background": "plane"},
    "both on grey": {"background": "constant", "polarity": "both"},
}


def picture(background: str, polarity: str = "bright") -> np.ndarray[Any, Any]:
    """A square of 10 px at (20, 12) on a background, uint8 [H, H]."""
    greys = {"none": (0, 0), "constant": (150, 150), "plane": (0, 90)}[background]
    levels = np.tile(np.linspace(*greys, SIDE), (SIDE, 1))
    levels[12 : 12 + SIZE, 20 : 20 + SIZE] += -100 if polarity == "dark" else 100
    found: np.ndarray[Any, Any] = levels.astype(np.uint8)
    return found


def sheet_of(images: Any, counts: Any = None, scale: float = 2.0, **look: Any) -> Sheet:
    """The sheet of pictures with these findings."""
    config = Config(
        data=DataConfig(canvas_size=SIDE, digit_size=SIZE / 0.95, digit_size_sd=0),
        pictures=PicturesConfig(**look),
        model=ModelConfig(),
        render=RenderConfig(scale=scale),
    )
    return looked_at(Canvases(image=np.asarray(images), count=counts), config)


def frames(sheet: Sheet, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the frame of a colour."""
    (frame,) = (it for it in sheet.marks if isinstance(it, Frame) and it.colour == colour)
    left, top, right, bottom = map(round, (frame.left, frame.top, frame.right, frame.bottom))
    return left - 2, top - 2, right + 2, bottom + 2


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_stands_out_is_dark_and_framed(look: dict[str, Any]) -> None:
    image = picture(look["background"], look.get("polarity", "bright"))
    sheet = sheet_of([image], **look)
    left, top, right, bottom = frames(sheet, SLOTS[0])
    assert (right - left, bottom - top) == (2 * SIZE + 4, 2 * SIZE + 4), "two pixels a pixel"
    inside = sheet.pixels[top + 3 : bottom - 3, left + 3 : right - 3].astype(int)
    assert inside.max() < 30
    assert sheet.pixels[bottom + 3, left].min() > 2 * inside.max()
    x, y = sheet.corner(0)
    shown = sheet.pixels[y + 16 : y + 16 + 2 * SIDE : 2, x : x + 2 * SIDE : 2, 0]
    assert np.array_equal(shown, image), "the picture is shown as it is"
    left, top, right, bottom = frames(sheet, SLOTS[1])
    assert abs((right - left) - (2 * SIZE + 4)) <= 1, "a square of the object's size"


def test_counts_are_told_where_they_are_known() -> None:
    images = [picture("none"), np.zeros((SIDE, SIDE), np.uint8)]
    words = {each.words for each in sheet_of(images, np.array([1, 0])).texts}
    assert {"true count 1", "true count 0", "1 candidate", "0 candidates"} <= words
    assert "picture" in {each.words for each in sheet_of(images).texts}


def test_faint_objects_are_framed_where_ink_is_stretched() -> None:
    images = np.stack([picture("none")] * 9)
    images[:3, 30:40, 2:12] = 5
    for stretch, found in ((0.0, "1 candidate"), (0.03, "2 candidates")):
        words = [each.words for each in sheet_of(images, stretch=stretch, compositing="over").texts]
        assert words.count(found) == (3 if stretch else 8)


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_panels_and_words_stay_apart(scale: float) -> None:
    sheet = sheet_of([picture("none")] * 9, np.arange(9), scale)
    assert sheet.canvases == 8
    right = max(each.x + 3 * len(each.words) for each in sheet.texts if each.align == "center")
    assert right < sheet.width


def test_an_imported_file_is_drawn_so_and_settings_try_another_background(tmp_path: Path) -> None:
    data = imported(255 - blobs()["images"], tmp_path / "a.h5").path
    drawn = [
        render(kind="data", data=data, out=tmp_path / f"{name}.png", settings=settings).path
        for name, settings in (("found", {}), ("none", {"model.background": "none"}))
    ]
    found, none = (np.asarray(Image.open(path).convert("RGB")) for path in drawn)
    assert (found == SLOTS[0]).all(2).sum() > 100
    assert found.shape == none.shape
    assert not np.array_equal(found, none)
