"""Large images as overlapping tiles: each object counts once, wherever the tiles lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import Recorder, data_file, reference

import airkit
from airkit.data.imports.geometry import cores
from airkit.data.look.blobs import blobs
from airkit.data.reader import read_split
from airkit.errors import ImageError, OutputError
from airkit.evaluation import infer, pieces
from airkit.evaluation.pieces import Piece, PieceScene

Array = np.ndarray[Any, Any]
TILE = 48


class Oracle:
    """Finds each part of an image that hangs together, its centre off by up to a pixel."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.draws = np.random.default_rng(0)

    def explain(self, pieces: Iterable[Piece], expected: int) -> Iterator[tuple[Piece, PieceScene]]:
        for piece in pieces:
            expected -= 1
            found = blobs(piece.pixels[:1], piece.pixels[:1] > 0.5).box.astype(float)
            many = len(found)
            owner = np.zeros(piece.pixels.shape[1:], np.uint8)
            for place, (x, y, width, height) in enumerate(found.astype(int).tolist(), 1):
                owner[y : y + height, x : x + width] = place
            off = self.draws.uniform(-1, 1, (many, 2))
            yield (
                piece,
                PieceScene(
                    count=many,
                    count_probability=np.eye(many + 1)[many],
                    presence=np.ones(many),
                    box=found,
                    centre=found[:, :2] + found[:, 2:] / 2 + off,
                    where=np.zeros((many, 3)),
                    what=np.zeros((many, 4)),
                    score=0.0,
                    canvas=piece.pixels,
                    owner=owner,
                ),
            )
        assert expected == 0


@pytest.fixture(name="oracle", autouse=True)
def _oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer, "Explainer", Oracle)


def scene(height: int, width: int, seed: int = 0) -> tuple[Array, Array]:
    """Squares of 6 to 9 px, 3 px apart at least, and their boxes."""
    draws, image, boxes = np.random.default_rng(seed), np.zeros((height, width), np.uint8), []
    for _ in range(height * width // 90):
        side = int(draws.integers(6, 10))
        x, y = (int(draws.integers(2, most - side - 1)) for most in (width, height))
        if not image[y - 2 : y + side + 3, max(0, x - 2) : x + side + 3].any():
            image[y : y + side, x : x + side] = 255
            boxes.append((x, y, side, side))
    return image, np.array(boxes)


def found_in(image: Any, **options: Any) -> Any:
    (found,) = airkit.infer(image, reference(), tile=TILE, **options)
    return found


def boxes_of(found: Any) -> list[tuple[float, ...]]:
    return sorted(each.box for each in found.objects)


@pytest.mark.parametrize("shape", [(200, 150), (48, 200), (49, 49), (30, 190), (97, 64)])
def test_each_object_counts_once(shape: tuple[int, int]) -> None:
    image, boxes = scene(*shape)
    found = found_in(image)
    assert boxes_of(found) == sorted(map(tuple, boxes.tolist()))
    assert found.count == len(boxes) == found.interval[0] == found.interval[1]
    assert (found.width, found.height) == shape[::-1]


@pytest.mark.parametrize("shift", [(1, 0), (0, 7), (13, 29), (40, 24)])
def test_a_shifted_scene_has_the_same_count(shift: tuple[int, int]) -> None:
    image, boxes = scene(160, 160, 1)
    moved = np.pad(image, ((shift[0], 50 - shift[0]), (shift[1], 50 - shift[1])))
    expected = boxes + np.array([*shift[::-1], 0, 0])
    assert boxes_of(found_in(moved)) == sorted(map(tuple, expected.tolist()))


def test_other_tiles_find_the_same() -> None:
    image, boxes = scene(150, 170, 2)
    counts = {
        tile: airkit.infer(image, reference(), tile=tile)[0].count for tile in (30, 40, 61, 150)
    }
    assert set(counts.values()) == {len(boxes)}


def test_a_picture_smaller_than_a_tile_is_not_cut() -> None:
    image, boxes = scene(40, 44)
    assert found_in(image).count == len(boxes)


def test_objects_at_the_border() -> None:
    image, boxes = scene(120, 120, 3)
    image[:4, 60:66] = image[30:36, -5:] = 0
    image[0:4, 60:66] = image[31:36, -5:] = 255
    everything, without = found_in(image), found_in(image, exclude_edges=True)
    assert everything.touching_border == without.touching_border >= 2
    assert without.count == everything.count - everything.touching_border
    assert [each.touches_border for each in without.objects] == [False] * without.count
    assert len(boxes) > 10


def test_pages_and_files_of_several_sizes(home: Path) -> None:
    shapes = [(100, 90), (40, 40), (70, 130)]
    scenes = [scene(*shape, seed) for seed, shape in enumerate(shapes)]
    pages = [Image.fromarray(image) for image, _ in scenes]
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
    found = airkit.infer("pages.tif", reference(), tile=TILE)
    assert [each.index for each in found] == [0, 1, 2]
    assert [each.count for each in found] == [len(boxes) for _, boxes in scenes]


def test_the_picture_is_stitched_of_the_tiles(home: Path) -> None:
    image, _ = scene(100, 130)
    found_in(image, overlay="seen", settings={"render.scale": 1})
    pixels = np.asarray(Image.open("seen/image-0.png").convert("L"))[14:-14, 14:-14]
    assert pixels.shape == (2 * 100 + 10, 130)
    boxed = np.abs(pixels[:100].astype(int) - pixels[110:].astype(int))
    assert boxed.max() == 0


def test_tiles_too_small_for_the_objects_are_refused() -> None:
    with pytest.raises(ImageError, match="at least 30 px"):
        airkit.infer(scene(100, 100)[0], reference(), tile=28)


@pytest.mark.parametrize(("length", "side", "overlap"), [(100, 48, 19), (49, 48, 19), (48, 48, 8)])
def test_cores_cover_a_line_once(length: int, side: int, overlap: int) -> None:
    found = cores(length, side, overlap)
    assert found[0][1] == -np.inf
    assert found[-1][2] == np.inf
    assert [end for *_, end in found[:-1]] == [begin for _, begin, _ in found[1:]]
    for start, low, high in found:
        assert max(low, 0) - start >= overlap / 2 or start == 0
        assert start + side - min(high, length) >= overlap / 2 or start + side >= length


def test_progress_is_told_tile_by_tile() -> None:
    listener = Recorder()
    found_in(scene(100, 100)[0], listener=listener)
    inferring = [each[1:] for each in listener.told if each[0] == "inferring"]
    assert len(inferring) > 4
    assert inferring == [(place + 1, len(inferring)) for place in range(len(inferring))]


def test_shapes_and_a_table_are_two_files(home: Path) -> None:
    for table in ("csv", "objects"):
        with pytest.raises(OutputError, match="one file"):
            found_in(scene(60, 60)[0], **{table: "t.csv"}, shapes="t.csv")
    assert not Path("t.csv").exists()


def test_a_label_image_has_each_object_once(home: Path) -> None:
    image, boxes = scene(100, 130)
    found = found_in(image, labels="seen")
    with Image.open("seen/image-0_labels.tif") as file:
        labels = np.array(file)
    assert labels.dtype == np.uint16
    assert (labels.shape, labels.max()) == (image.shape, len(boxes))
    assert np.array_equal(labels > 0, image > 0)
    for number, each in enumerate(found.objects, 1):
        x, y, width, height = (int(value) for value in each.box)
        assert (labels[y : y + height, x : x + width] == number).all()
    found_in(image, labels="seen")
    Image.fromarray(labels).save("seen/image-0_labels.tif")
    with pytest.raises(OutputError, match="did not write"):
        found_in(image, labels="seen")


def test_a_tile_may_hold_more_objects_than_a_byte_can_number(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, side = 300, 50
    pixels = torch.eye(side * side)[None, :many].view(1, many, side, side)
    seen: Any = SimpleNamespace(
        count=torch.tensor([many]),
        count_probability=torch.eye(many + 1)[many:],
        presence=torch.ones(1, many),
        box=torch.ones(1, many, 4),
        centre=torch.ones(1, many, 2),
        where=torch.zeros(1, many, 3),
        what=torch.zeros(1, many, 4),
        score=torch.zeros(1),
        masks=pixels,
    )

    def scenes(_: Any, parts: Iterable[Iterable[Piece]], __: int) -> Iterator[Any]:
        yield [piece for part in parts for piece in part], seen, None, None

    monkeypatch.setattr(pieces.Explainer, "scenes", scenes)
    monkeypatch.setattr(infer, "Explainer", pieces.Explainer)
    airkit.infer(np.zeros((side, side), np.uint8), reference(), labels="seen")
    with Image.open("seen/image-0_labels.tif") as file:
        labels = np.array(file)
    assert labels.ravel()[:many].tolist() == list(range(1, many + 1))


def test_label_images_of_digits_are_of_their_ink(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer, "Explainer", pieces.Explainer)
    images = read_split(data_file(), "test").image[:6]
    found = airkit.infer(images, reference(), labels="seen")
    assert sum(each.count for each in found) > 0
    for place, each in enumerate(found):
        with Image.open(f"seen/image-0-{place}_labels.tif") as file:
            labels = np.array(file)
        assert set(np.unique(labels)) <= set(range(each.count + 1))
    one, two = Path("one/a.npy"), Path("two/a.npy")
    for path in (one, two):
        path.parent.mkdir()
        np.save(path, images[0])
    with pytest.raises(OutputError, match="same label image"):
        airkit.infer([one, two], reference(), labels="new")
    assert not Path("new").exists()
