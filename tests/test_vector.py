"""Cells of a sheet as SVG: the canvas's own pixels, and everything else sharp over them."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pixels import made, sized

from airkit.config.pictures import PicturesConfig
from airkit.figures import reconstructions
from airkit.figures.marks import SLOTS, contrasting, hexadecimal
from airkit.figures.samples import prior
from airkit.figures.vector import cells


def pictures(svg: str) -> list[Any]:
    found = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    return [np.asarray(Image.open(BytesIO(base64.b64decode(each)))) for each in found]


def test_a_cell_has_the_pixels_of_its_canvas_and_numbered_boxes() -> None:
    scene = replace(made(2, 1), image=np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 20, 20))
    (svg,) = cells(reconstructions.reconstructions([scene], sized(scale=7.5), 1), "it", 99)
    canvas, model = pictures(svg)
    assert np.array_equal(canvas, np.rint(255 * (1 - scene.image[0])).astype(np.uint8))
    assert (model == 255).all()
    assert 'width="150" height="150" class="ink"' in svg
    for slot, colour in enumerate(map(hexadecimal, SLOTS[:2])):
        assert svg.count(f'stroke="{colour}"') == 2
        assert svg.count(f">{slot + 1}</text>") == 2
    assert 'aria-label="it, canvas 1, model 2"' in svg
    assert "canvas 1</text>" in svg
    assert re.search("var[(]--bad[)].*bold.*model 2</text>", svg), "a miscount is marked"


def test_colours_stay_as_they_are_and_what_is_past_the_count_is_transparent() -> None:
    canvases = np.full((4, 3, 20, 20), 0.5, np.float32)
    image, windows = np.zeros((3, 20, 20), np.float32), np.zeros((3, 3, 8, 8), np.float32)
    scene = replace(made(1, 1), image=image, canvases=canvases, windows=windows)
    svgs = cells(reconstructions.steps([scene], sized(), 1), "it", 99)
    assert all('class="colour"' in svg for svg in svgs)
    assert ['opacity="0.25"' in svg for svg in svgs] == [False, False, True, True]
    assert (pictures(svgs[2])[0] == 128).all(), "its pixels are not whitened, for the dark"


@pytest.mark.parametrize(
    ("polarity", "kind", "level"), [("bright", "ink", 205), ("dark", "colour", 50)]
)
def test_pictures_of_dark_objects_are_as_they_are(polarity: Any, kind: str, level: int) -> None:
    """In the dark too: the page turns over the class ``ink`` alone."""
    config = sized().model_copy(update={"pictures": PicturesConfig(polarity=polarity)})
    levels = np.full((1, 20, 20), 50 / 255, np.float32)
    scene = replace(made(1, 1), image=levels, canvases=np.stack([levels] * 4))
    svgs = [
        *cells(reconstructions.reconstructions([scene], config, 1), "it", 99),
        *cells(reconstructions.steps([scene], config, 1), "it", 99)[:2],
        *cells(prior(np.array([1]), levels[None], config, "1"), "it", 99),
    ]
    for svg in svgs:
        assert f'class="{kind}"' in svg
        assert (pictures(svg)[0] == level).all()


def test_large_canvases_are_reduced() -> None:
    (svg,) = cells(reconstructions.reconstructions([made(0, 0, side=300)], sized(), 1), "it", 64)
    assert [each.shape for each in pictures(svg)] == [(64, 64)] * 2


@pytest.mark.parametrize("colour", SLOTS)
def test_numbers_are_read_on_their_colours(colour: tuple[int, int, int]) -> None:
    def light(levels: tuple[int, int, int]) -> float:
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4
                  for s in (level / 255 for level in levels)]  # fmt: skip
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    less, more = sorted((light(colour), light(contrasting(colour))))
    assert (more + 0.05) / (less + 0.05) >= 4.5
