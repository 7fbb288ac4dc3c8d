"""Boxes for other programs: ImageJ reads back what was found, and so does napari."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from PIL import Image
from tiny_runs import data_file, reference

import airkit
from airkit.data.imports.images import Place
from airkit.data.reader import read_split
from airkit.errors import OutputError
from airkit.evaluation.found import Inferred, InferredObject
from airkit.evaluation.found_files import ROIS, SHAPES, BoxFormat

Array = np.ndarray[Any, Any]
BOXES = (3.0, 5.0, 8.0, 9.0), (20.25, 7.5, 6.5, 4.0)


def found(image: str, *boxes: tuple[float, ...], index: int | None = None) -> Inferred:
    objects = tuple(InferredObject(box, 0.9, False, (), ()) for box in boxes)
    size, many = (40, 30), len(boxes)
    return Inferred(image, index, *size, many, (many, many), (1.0,), 0, "ok", objects, 0.0)


def rois_of(path: str) -> list[Any]:
    rois = roifile.roiread(path)
    assert isinstance(rois, list)
    return rois


def shapes_of(path: str) -> list[Array]:
    """Corners of each shape, as napari reads them: its rules of what is a table of shapes."""
    with Path(path).open(newline="") as file:
        names, *rows = csv.reader(file)
    assert {"index", "shape-type", "vertex-index", "axis-0", "axis-1"} <= set(names)
    axes = [place for place, name in enumerate(names) if name.startswith("axis-")]
    index = np.array([int(row[0]) for row in rows])
    assert np.array_equal(index, np.repeat(np.arange(index.max() + 1), 4))
    assert {row[1] for row in rows} == {"rectangle"}
    corners = np.array([[float(row[axis]) for axis in axes] for row in rows])
    return list(corners.reshape(-1, 4, len(axes)))


def test_imagej_reads_each_box(home: Path) -> None:
    ROIS.write(Path("rois"), [found("in/cells.png", *BOXES), found("b.tif", BOXES[0])])
    rois = rois_of("rois/cells_rois.zip")
    assert [roi.name for roi in rois] == ["1", "2"]
    assert [(roi.xd, roi.yd, roi.widthd, roi.heightd) for roi in rois] == list(BOXES)
    edges = [(roi.left, roi.top, roi.right, roi.bottom) for roi in rois]
    assert edges == [(3, 5, 11, 14), (20, 7, 27, 12)]
    assert all(roi.roitype == roifile.ROI_TYPE.RECT and not roi.position for roi in rois)
    assert len(rois_of("rois/b_rois.zip")) == 1


def test_rois_of_a_stack_are_on_their_slices(home: Path) -> None:
    stack = [
        found("s.tif", *BOXES, index=0),
        found("s.tif", index=1),
        found("s.tif", BOXES[1], index=2),
    ]
    ROIS.write(Path("one.zip"), stack)
    assert [(roi.name, roi.position) for roi in rois_of("one.zip")] == [
        ("0-1", 1),
        ("0-2", 1),
        ("2-1", 3),
    ]


def test_napari_reads_each_box_as_corners_of_row_and_column(home: Path) -> None:
    SHAPES.write(Path("out"), [found("cells.png", *BOXES)])
    first, second = shapes_of("out/cells_shapes.csv")
    assert first.tolist() == [[4.5, 2.5], [4.5, 10.5], [13.5, 10.5], [13.5, 2.5]]
    assert (second.min(0).tolist(), second.max(0).tolist()) == ([7.0, 19.75], [11.0, 26.25])


def test_shapes_of_a_stack_have_its_axis(home: Path) -> None:
    stack = [
        found("s.tif", index=0),
        found("s.tif", *BOXES, index=1),
        found("s.tif", BOXES[0], index=2),
    ]
    SHAPES.write(Path("s.csv"), stack)
    shapes = shapes_of("s.csv")
    assert [set(shape[:, 0]) for shape in shapes] == [{1}, {1}, {2}]
    assert shapes[2][0].tolist() == [2, 4.5, 2.5]


@pytest.mark.parametrize("kind", [ROIS, SHAPES])
def test_nothing_found_leaves_no_file_of_an_earlier_call(home: Path, kind: BoxFormat) -> None:
    kind.write(Path("out"), [found("a.png", *BOXES), found("b.png", *BOXES)])
    kind.check(Path("out"), [Place(Path("a.png"), None)])
    kind.write(Path("out"), [found("a.png")])
    assert [path.name for path in Path("out").iterdir()] == [f"b{kind.ending}"]
    kind.write(Path("new"), [found("a.png")])
    assert not Path("new").exists()


@pytest.mark.parametrize("kind", [ROIS, SHAPES])
def test_the_same_boxes_give_the_same_bytes(home: Path, kind: BoxFormat) -> None:
    for name in ("one", "two"):
        kind.write(Path(name), [found("a.png", *BOXES)])
    one, two = (Path(name, f"a{kind.ending}").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("kind", [ROIS, SHAPES])
@pytest.mark.parametrize(
    ("out", "images", "said"),
    [
        ("out", ["one/a.png", "two/a.png"], "the same"),
        ("out", ["a.png", "b.png", "a.png"], "the same"),
        ("{single}", ["a.png", "b.png"], "the same"),
        ("mine", ["a.png"], "did not write"),
        ("file", ["a.png"], "in the way"),
    ],
)
def test_no_file_is_replaced_that_is_not_of_an_earlier_call(
    home: Path, kind: BoxFormat, out: str, images: list[str], said: str
) -> None:
    Path("file").write_text("mine")
    mine = Path("mine") / f"a{kind.ending}"
    mine.parent.mkdir()
    mine.write_text("index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1,1\n")
    single = "all" + kind.ending
    with pytest.raises(OutputError, match=said):
        kind.check(Path(out.format(single=single)), [Place(Path(name), None) for name in images])


def test_infer_hands_over_what_it_counts(home: Path) -> None:
    images = read_split(data_file(), "test").image[:4]
    Image.fromarray(images[0]).save("a.png")
    np.save("stack.npy", images)
    results = airkit.infer(["a.png", "stack.npy"], reference(), rois="rois", shapes="shapes")
    many = [sum(it.count for it in part) for part in (results[:1], results[1:])]
    assert sum(many)
    for name, count in zip(("a", "stack"), many, strict=True):
        if count:
            assert len(rois_of(f"rois/{name}_rois.zip")) == count
            assert len(shapes_of(f"shapes/{name}_shapes.csv")) == count
