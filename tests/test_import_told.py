"""What an import tells of pictures, and that it tells it once."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from own_pictures import blobs, save
from PIL import Image
from test_look import bytes_of, discs
from tiny_runs import Recorder

import airkit
from airkit.data.imports.importing import import_scenes


def test_doubts_are_in_the_report_and_in_the_notes(tmp_path: Path) -> None:
    told = Recorder()
    images = bytes_of(np.concatenate([discs(radii=(3, 4)), discs(radii=(8, 10), many=60)]))
    report = import_scenes(images, path=tmp_path / "a.h5", listener=told)
    assert report.doubts
    assert [f"in doubt: {doubt}" for doubt in report.doubts] == told.notes[-len(report.doubts) :]
    assert any("name the size with object_size" in doubt for doubt in report.doubts)
    named = import_scenes(images, path=tmp_path / "b.h5", object_size=10, most_objects=5)
    assert not any("object_size" in doubt for doubt in named.doubts)


def test_pictures_are_noticed_once_where_they_are_cut_into_regions(tmp_path: Path) -> None:
    told, picture = Recorder(), np.zeros((120, 100, 4), np.uint8)
    picture[..., 3], picture[:5, :5, 3] = 255, 0
    picture[20:30, 20:30, 0] = 200
    Image.fromarray(picture).save(tmp_path / "one.png")
    how = {"tile": 50, "color": "grey"}
    import_scenes(tmp_path / "one.png", path=tmp_path / "a.h5", listener=told, **how)  # type: ignore[arg-type]
    noticed = [note for note in told.notes if "colour" in note or "transparent" in note]
    assert [note.split()[0] for note in noticed] == ["1", "1"]


@pytest.mark.parametrize(("table", "files"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_with_accents_are_found_however_they_are_written(
    tmp_path: Path, table: str, files: str
) -> None:
    given = blobs(6)
    folder = save(tmp_path / "f", given["images"])
    rows = []
    for number, count in enumerate(given["counts"]):
        name = f"Körner {number}.png"
        (folder / f"{number}.png").rename(folder / unicodedata.normalize(files, name))  # type: ignore[arg-type]
        rows.append(f"{unicodedata.normalize(table, name)},{count}")  # type: ignore[arg-type]
    (tmp_path / "c.csv").write_text("\n".join(rows), "utf-8")
    report = import_scenes(folder, tmp_path / "c.csv", path=tmp_path / "a.h5")
    assert set(report.truth.values()) == {("count",)}


def test_photos_in_heic_are_told(tmp_path: Path) -> None:
    folder, told = save(tmp_path / "f", blobs(6)["images"]), Recorder()
    for name in ("a.HEIC", "b.heif", "notes.txt"):
        (folder / name).write_bytes(b"x")
    import_scenes(folder, path=tmp_path / "a.h5", listener=told)
    assert any("2 photos in HEIC were passed over: convert them" in note for note in told.notes)
    assert any("1 file that is no picture was passed over" in note for note in told.notes)


def test_padding_hides_nothing_from_the_look(tmp_path: Path) -> None:
    """Discs on a gradient in pictures of several sizes look as they do before they are padded."""
    images = bytes_of(discs(lambda _: 0.2 + np.linspace(0, 0.3, 48) * np.ones((48, 1)), many=60))
    mixed = [image[: 48 - 2 * (row % 5), : 48 - row % 7] for row, image in enumerate(images)]
    whole = import_scenes(images, path=tmp_path / "a.h5")
    padded = import_scenes(mixed, path=tmp_path / "b.h5", pad=True)
    assert padded.seen[0].split(";")[0] == whole.seen[0].split(";")[0]
    assert abs(padded.object_size - whole.object_size) < 2
    assert airkit.describe(padded.path).config.data.shape == (48, 48)


@pytest.mark.parametrize("most", [0, -1])
def test_no_objects_at_most_are_refused(tmp_path: Path, most: int) -> None:
    with pytest.raises(airkit.AirkitError, match="so few objects"):
        import_scenes(blobs()["images"], path=tmp_path / "a.h5", most_objects=most)
