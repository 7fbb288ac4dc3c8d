"""Counts of the pages of TIFF files: a row for each page, and never one count for several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_pictures import blobs, imported
from PIL import Image

from airkit.data.reader import read_split
from airkit.errors import ImageError

GIVEN = blobs(24)
PAGES = [(number // 3, number % 3 + 1) for number in range(24)]
"""File and page of each picture; pages from 1."""


def stacks(folder: Path) -> Path:
    """Write the pictures as 0.tif, 1.tif ... of three pages each; returns the new folder."""
    (folder / "f").mkdir()
    for number in range(8):
        first, *rest = (Image.fromarray(each) for each in GIVEN["images"][3 * number :][:3])
        first.save(folder / f"f/{number}.tif", save_all=True, append_images=rest)
    return folder / "f"


def known(folder: Path, table: str, **options: Any) -> None:
    """Import pictures with a table, and see to it that each has its count."""
    (folder / "c.csv").write_text(table)
    report = imported(stacks(folder), folder / "o.h5", counts=folder / "c.csv", **options)
    counts = {image.tobytes(): n for image, n in zip(GIVEN["images"], GIVEN["counts"], strict=True)}
    for split in ("train", "val", "test"):
        found = read_split(report.path, split)
        expected = [counts[image.tobytes()] for image in found.image]
        assert found.known["count"].tolist() == expected


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("", "{file}.tif,{page},{count}"),
        ("file,page,count", "{file},{page},{count}.0"),
        ("name;page;cells", "f/{file}.tif;{page};{count}"),
        ("image,index,width,height,count,status", "f/{file}.tif,{index},24,24,{count},ok"),
    ],
    ids=["no header", "header", "another header", "counts.csv of infer"],
)
def test_a_row_for_each_page(tmp_path: Path, head: str, row: str) -> None:
    rows = [
        row.format(file=file, page=page, index=page - 1, count=count)
        for (file, page), count in zip(PAGES, GIVEN["counts"], strict=True)
    ]
    known(tmp_path, "\n".join([head, *rows[::-1]]).strip())


ROWS = [f"{file}.tif,{page},1" for file, page in PAGES]
TABLES = {
    "a row a file": ([f"{n}.tif,3" for n in range(8)], ["0.tif", "3 pages", "whole file"]),
    "a page is missing": (ROWS[:4] + ROWS[5:], ["1.tif", "3 pages", "page 1, page 3"]),
    "a page too many": ([*ROWS, "2.tif,4,1"], ["2.tif", "3 pages", "page 4"]),
    "a page below 1": ([*ROWS, "2.tif,0,1"], ["2.tif", "page 0"]),
    "a page of two counts": ([*ROWS, "2.tif,2,7"], ["line 25", "7 and 1 for page 2 of 2.tif"]),
    "no page": (["file,page,count", *ROWS, "2.tif,x,1"], ["line 26", "page x"]),
    "no count": (["file,page,count", *ROWS, "2.tif,2,"], ["line 26", "nothing for 2.tif"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_do_not_go_with_the_pages(tmp_path: Path, name: str) -> None:
    rows, facts = TABLES[name]
    with pytest.raises(ImageError) as error:
        known(tmp_path, "\n".join(rows))
    assert all(fact in str(error.value) for fact in facts)
    assert "file,page,count" in str(error.value)
    assert not (tmp_path / "o.h5").exists()


def test_a_file_of_one_page_has_no_second(tmp_path: Path) -> None:
    """As where the columns are file, count and something else."""
    (tmp_path / "f").mkdir()
    Image.fromarray(GIVEN["images"][0]).save(tmp_path / "f/a.png")
    (tmp_path / "c.csv").write_text("a.png,1,2")
    report = imported(tmp_path / "f", tmp_path / "o.h5", counts=tmp_path / "c.csv")
    assert read_split(report.path, "train").known["count"].tolist() == [2]
    (tmp_path / "c.csv").write_text("a.png,3,640")
    with pytest.raises(ImageError, match=r"one row: a\.png,COUNT"):
        imported(tmp_path / "f", tmp_path / "p.h5", counts=tmp_path / "c.csv")


def test_a_list_of_files_of_several_pages_has_no_count_each(tmp_path: Path) -> None:
    files = sorted(stacks(tmp_path).iterdir())
    with pytest.raises(ImageError, match="files of one page"):
        imported(files, tmp_path / "o.h5", counts=np.full(8, 3))
    assert imported(files, tmp_path / "o.h5").truth["train"] == ()
