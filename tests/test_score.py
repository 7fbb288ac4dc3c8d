"""Other models' predictions, scored: a counting net, a detector, slots; and what does not match."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_docs
from command_line import fails, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from some_truth import knowing, write
from tiny_runs import Recorder, data_file, folder, reference

import airkit
from airkit.data.coco import run_lengths
from airkit.data.reader import read_split
from airkit.errors import DataFileError, PredictionsError
from airkit.evaluation.detection import average_precisions
from airkit.evaluation.external import Reader
from airkit.evaluation.results import Measures, Scores
from airkit.system.boxes import pairwise_iou

Array = np.ndarray[Any, Any]
NAMES = [f"test-{place:06d}.png" for place in range(20)]


@pytest.fixture(scope="module")
def data() -> Path:
    """The tests' canvases, with the insides of boxes as masks."""
    return write(folder() / "scored" / "masked.h5", knowing("count", "box", "mask"))


def truth(path: Path | None = None) -> dict[str, Array]:
    return read_split(path or data_file(), "test").known


def counts_off_by_one_on_three() -> Array:
    counts = truth()["count"].astype(int)
    counts[[2, 5, 9]] += 1
    return counts


def saved(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def counted(path: Path, kind: str) -> Path:
    """Counts of a counting net in every form."""
    counts = counts_off_by_one_on_three().tolist()
    shuffled = np.random.default_rng(0).permutation(20).tolist()
    rows = {
        "image": [{"image": f"some/where/{NAMES[it]}", "count": counts[it]} for it in shuffled],
        "index": [{"index": it, "image": "data.h5", "count": counts[it]} for it in shuffled],
        "image_id": [{"image_id": it + 1, "count": float(counts[it])} for it in shuffled],
    }
    if kind == "npy":
        np.save(path / "it.npy", np.array(counts, np.float32))
        return path / "it.npy"
    form, _, key = kind.partition(" ")
    if form == "csv":
        with (path / "it.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [*rows[key][0]])
            writer.writeheader()
            writer.writerows(rows[key])
        return path / "it.csv"
    if form == "lines":
        return saved(path / "it.jsonl", "".join(json.dumps(row) + "\n" for row in rows[key]))
    content = {"list": counts, "object": dict(zip(NAMES, counts, strict=True))}
    return saved(path / "it.json", content.get(key, rows.get(key)))


FORMS = ["npy", "csv image", "csv index", "csv image_id", "lines index", "json list", "json object",
         "json image"]  # fmt: skip


@pytest.mark.parametrize("kind", FORMS)
def test_a_counting_net(tmp_path: Path, kind: str) -> None:
    found = airkit.score(counted(tmp_path, kind), data_file())
    assert found.count_accuracy == 17 / 20
    assert found.count_accuracy_interval_new_digits[0] <= found.count_accuracy_interval[0]
    assert sum(map(sum, found.confusion)) == found.canvases == 20
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["ap"] is plain["ari"] is plain["comparison"] is None


@pytest.mark.parametrize("between", [";", "\t", ","])
def test_tables_of_spreadsheets(tmp_path: Path, between: str) -> None:
    rows = zip(NAMES, counts_off_by_one_on_three().tolist(), strict=True)
    lines = [f"Image{between}COUNT", *(f"{name}{between} {count}" for name, count in rows), ""]
    found = airkit.score(saved(tmp_path / "it.csv", "\n".join(lines)), data_file())
    assert found.count_accuracy == 17 / 20


@pytest.mark.parametrize("count", [1001, -1, 0.5, 2**31])
def test_counts_that_cannot_be_are_refused(tmp_path: Path, count: float) -> None:
    with pytest.raises(PredictionsError, match="whole number from 0 to 1,000"):
        airkit.score(saved(tmp_path / "it.json", [count, *[0] * 19]), data_file())


@pytest.mark.parametrize(("name", "told"), [("other.h5", 1), (data_file().name, 0), ("a.png", 0)])
def test_predictions_of_another_file_are_told(tmp_path: Path, name: str, told: int) -> None:
    names = [f"x/{name}"] * 20 if name.endswith(".h5") else NAMES
    rows = [{"index": it, "image": each, "count": 0} for it, each in enumerate(names)]
    listener = Recorder()
    airkit.score(saved(tmp_path / "it.json", rows), data_file(), listener=listener)
    assert sum("predictions of x/other.h5" in note for note in listener.notes) == told


def test_airkits_own_counts_score_as_eval_does() -> None:
    predicted = airkit.predict(run=reference(), data=data_file())
    np.save(path := folder() / "own.npy", predicted.count)
    found, own = airkit.score(path, data_file(), against=reference()), airkit.evaluate(reference())
    names = [name for name in vars(own) if name.startswith(("count_acc", "per_count_acc"))]
    for name in (name for name in names if "one_look" not in name):
        assert getattr(found, name) == getattr(own, name)
    assert found.comparison is not None
    assert (found.comparison.only_run, found.comparison.only_against) == (0, 0)
    assert found.comparison.p_value == 1


def detections(rng: Any) -> tuple[list[dict[str, Any]], Array, Array]:
    """Results of a detector, and its boxes and scores by canvas, [20, T, ...]."""
    boxes = truth()["box"].astype(np.float64)
    boxes = np.concatenate([boxes, rng.uniform(0, 10, boxes.shape) + 1], 1)
    boxes[boxes[..., 2] > 0] += rng.uniform(0, 1, (int((boxes[..., 2] > 0).sum()), 4))
    scores = rng.random(boxes.shape[:2]).round(1)
    results = [
        {"image_id": n + 1, "category_id": 3, "bbox": box.tolist(), "score": scores[n, t]}
        for n, row in enumerate(boxes)
        for t, box in enumerate(row)
        if box[2] > 0
    ]
    return results, boxes, scores


def test_a_detector(tmp_path: Path) -> None:
    results, boxes, scores = detections(np.random.default_rng(0))
    found = airkit.score(saved(tmp_path / "it.json", results), data_file(), least_score=0.7)
    true = truth()["box"]
    objects = int((true[..., 2] > 0).sum())
    wanted = average_precisions(pairwise_iou(true, boxes), scores, objects)
    assert (found.ap, found.ap50, found.ap75) == pytest.approx(wanted)
    counts = ((scores >= 0.7) & (boxes[..., 2] > 0)).sum(1)
    assert found.count_accuracy == np.mean(counts == truth()["count"])
    assert 0 < found.mean_iou < airkit.score(tmp_path / "it.json", data_file()).mean_iou
    names = [{"id": n + 7, "file_name": name} for n, name in enumerate(NAMES)]
    moved = [{**each, "image_id": each["image_id"] + 6} for each in results]
    whole = saved(tmp_path / "whole.json", {"images": names, "annotations": moved})
    assert airkit.score(whole, data_file(), least_score=0.7).ap == found.ap


@pytest.mark.parametrize("how", ["numbers", "text"])
def test_masks_with_scores(tmp_path: Path, data: Path, how: str) -> None:
    """Perfect masks, and a false one on each canvas that is not counted."""
    results = []
    for n, mask in enumerate(truth(data)["mask"]):
        results += [(n, mask == label, 0.9) for label in range(1, int(mask.max()) + 1)]
        results.append((n, np.ones_like(mask, bool), 0.2))
    runs = [
        {
            "image_id": n + 1,
            "score": score,
            "segmentation": run_lengths(mask)
            if how == "numbers"
            else {"size": [*mask.shape], "counts": coco_mask.encode(
                np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()},
        }
        for n, mask, score in results
    ]  # fmt: skip
    found = airkit.score(saved(tmp_path / "it.json", runs), data)
    assert (found.mask_ap, found.mask_ap50) == pytest.approx((1, 1))
    assert (found.ari, found.covering, found.mean_covering) == pytest.approx((1, 1, 1))
    assert np.isnan(found.ap)


@pytest.mark.parametrize("kind", ["slots", "labels", "folder"])
def test_masks_of_slots(tmp_path: Path, data: Path, kind: str) -> None:
    """Soft masks of slots in any order, one of them the background; labels with gaps."""
    masks = truth(data)["mask"].astype(int)
    labels, path = masks * 7, tmp_path / "it.npy"
    if kind == "slots":
        order = np.array([2, 3, 0, 1])
        slots = (order[masks][:, None] == np.arange(4)[:, None, None]) * 0.9 + 0.02
        np.save(path, slots.astype(np.float32))
    elif kind == "labels":
        np.save(path, labels)
    else:
        (path := tmp_path / "seen").mkdir()
        for name, one in zip(NAMES, labels.astype(np.uint16), strict=True):
            Image.fromarray(one).save(path / name.replace(".png", "_labels.tif"))
    found = airkit.score(path, data)
    assert (found.ari, found.foreground_ari, found.mean_covering) == pytest.approx((1, 1, 1))
    assert found.count_accuracy == 1
    assert np.isnan(found.mask_ap), "labels have no scores to rank by"


GOOD = [{"image": name, "count": 1} for name in NAMES]
BOX = {"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
RUNS = {"image_id": 1, "score": 0.5, "segmentation": {"size": [9, 9], "counts": [81]}}
WRONG: dict[str, tuple[Any, str]] = {
    "missing": (GOOD[:-2], "missing"),
    "twice": ([*GOOD, GOOD[3]], "twice"),
    "extra": ([*GOOD, {"image": "test-000020.png", "count": 1}], "No canvas"),
    "another split": ([{"image": "val-000000.png", "count": 1}], "No canvas"),
    "id 0": ([{**BOX, "image_id": 0}], "No canvas"),
    "no id": ([{"count": 1}], "no image"),
    "none": ([], "no predictions"),
    "none in COCO": ({"images": [], "annotations": []}, "no predictions"),
    "nan": ([{**BOX, "bbox": [1, 2, float("nan"), 4]}], "box"),
    "negative": ([{**BOX, "bbox": [1, 2, -3, 4]}], "box"),
    "three numbers": ([{**BOX, "bbox": [1, 2, 3]}], "box"),
    "no score": ([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "score"),
    "nan score": ([{**BOX, "score": float("nan")}], "score"),
    "mixed": ([BOX, RUNS], "two kinds"),
    "another size": ([RUNS], "mask"),
    "half": ([{**row, "count": 1.5} for row in GOOD], "count"),
    "less": ([1, 2, 3], "as many counts"),
    "text": ("no JSON", "cannot be read"),
    "number": (3, "not a list"),
    "no column": ([{"image": name, "n": 1} for name in NAMES], "no counts"),
    "no annotations": ({"annotations": None}, "annotations are not a list"),
    "annotations of numbers": ({"annotations": [1]}, "annotations are not a list"),
    "images of numbers": ({"annotations": [], "images": [5]}, "images are not a list"),
    "list as id": ({"annotations": [{**BOX, "image_id": [1]}]}, "No canvas"),
    "list as image's id": (
        {"annotations": [], "images": [{"id": [1], "file_name": "a"}]},
        "no predictions",
    ),
    "huge score": ([{**BOX, "score": 10**400}], "score"),
    "huge box": ([{**BOX, "bbox": [1, 2, 3, 10**400]}], "box"),
    "huge count": ([{**row, "count": 10**400} for row in GOOD], "count"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_match_is_told(tmp_path: Path, case: str) -> None:
    content, words = WRONG[case]
    with pytest.raises(PredictionsError, match=words) as caught:
        airkit.score(saved(tmp_path / "it.json", content), data_file())
    assert "it.json" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros((20, 3, 3), int), np.zeros((20, 0, 24, 24)),
                                   np.full((20, 2, 24, 24), np.nan), np.array([{}])])  # fmt: skip
def test_arrays_that_are_none(tmp_path: Path, array: Array) -> None:
    np.save(tmp_path / "it.npy", array)
    with pytest.raises(PredictionsError):
        airkit.score(tmp_path / "it.npy", data_file())


JSON = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.5, 10**400, float("nan"), "", "test-000000.png", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["annotations", "images", "id", "file_name", *RUNS, *BOX, *GOOD[0]]),
            inner,
        )
    ),
)


@settings(max_examples=300, deadline=None)
@given(content=st.dictionaries(st.sampled_from(["annotations", "images"]), JSON) | JSON)
def test_any_json_is_read_or_refused_for_what_it_holds(content: Any) -> None:
    path, what = saved(folder() / "any.json", json.dumps(content)), ""
    try:
        Reader(path, "test", 1, (9, 9), 0.5).read()
    except PredictionsError as error:
        what = error.what
    assert what != "The predictions cannot be read"  # as a damaged file


def test_damaged_files(tmp_path: Path) -> None:
    """NumPy and Pillow raise no OSError or ValueError at these."""
    (labels := tmp_path / "labels").mkdir()
    Image.fromarray(np.eye(24, dtype=np.uint8)).save(png := labels / NAMES[0])
    before, after = png.read_bytes().split(b"IDAT")
    png.write_bytes(before[:-4] + bytes([0, 0, 0, 1]) + b"IDAT" + after)  # the length
    np.save(npy := tmp_path / "it.npy", np.zeros(20))
    npy.write_bytes(npy.read_bytes().replace(b"}", b" "))
    np.savez(npz := tmp_path / "it.npz", np.zeros(20))
    for path in (labels, npy, npz.rename(tmp_path / "other.npy")):
        with pytest.raises(PredictionsError, match="cannot be read") as caught:
            airkit.score(path, data_file())
        assert "\n  expected  a .csv, .json, .jsonl or .npy file" in str(caught.value)


def test_other_faults(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="cannot be read"):
        airkit.score(tmp_path / "none.csv", data_file())
    with pytest.raises(PredictionsError, match="another kind"):
        airkit.score(saved(tmp_path / "it.txt", "1"), data_file())
    with pytest.raises(PredictionsError, match="no predictions"):
        airkit.score(tmp_path, data_file())
    blind = write(tmp_path / "blind.h5", knowing())
    with pytest.raises(PredictionsError, match="no truth"):
        airkit.score(saved(tmp_path / "it.json", GOOD), blind)
    with pytest.raises(DataFileError):
        airkit.score(tmp_path / "it.json", tmp_path / "none.h5")


def test_measures_have_the_names_of_eval() -> None:
    names, of_eval = ({each.name: each.type for each in fields(it)} for it in (Scores, Measures))
    assert names.items() - of_eval.items() == {
        ("predictions", "str"),
        ("comparison", "Comparison | None"),
    }


def test_the_how_to_page(home: Path) -> None:
    (home / "multi-mnist.h5").symlink_to(data_file())
    test_docs.run_snippets("how-to/score.md")
    (home / "runs").mkdir()
    (home / "runs" / "air").symlink_to(reference())
    for words in test_docs.commands(test_docs.DOCS / "how-to/score.md"):
        done = run(*words)
        assert done.exit_code == 0, (words, done.output)


def test_on_the_command_line(tmp_path: Path) -> None:
    path = counted(tmp_path, "csv image")
    words = ("score", "--predictions", path, "--data", data_file(), "--against", reference())
    told = run(*words)
    assert told.exit_code == 0, told.output
    assert "count accuracy" in told.stdout
    assert "McNemar" in told.stdout
    found = json.loads(run(*words, "--json").stdout)
    assert found["count_accuracy"] == 17 / 20
    assert found["comparison"]["only_run"] + found["comparison"]["only_against"] > 0
    assert run(*words, "--table", tmp_path / "it.csv").stdout == told.stdout
    with (tmp_path / "it.csv").open() as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert float(rows["count accuracy"]["value"]) == 17 / 20
    against = found["comparison"]["against"]["count_accuracy"]
    assert float(rows["count accuracy"]["against"]) == against
    assert not [name for name in rows if name.startswith(("comparison", "AP"))]
    message = fails("score", "--predictions", tmp_path / "no.csv", "--data", data_file())
    assert "no.csv" in message


@pytest.mark.parametrize(
    ("cells", "names"), [("image,n\na.png,1,2\n", "image, n"), ("n\n1,2\n", "n")]
)
def test_a_table_with_a_row_too_long(tmp_path: Path, cells: str, names: str) -> None:
    path = saved(tmp_path / "it.csv", cells)
    told = fails("score", "--predictions", path, "--data", data_file())
    assert told.startswith(
        "airkit: The predictions have no counts\n"
        f"  where     {path}\n"
        "  expected  a column count\n"
        f"  got       {names}\n"
    )


def test_a_limit_that_no_score_reaches_is_told(tmp_path: Path) -> None:
    results, _, _ = detections(np.random.default_rng(0))
    path, listener = saved(tmp_path / "it.json", results), Recorder()
    airkit.score(path, data_file(), least_score=50, listener=listener)
    assert sum("greatest is" in note for note in listener.notes) == 1
    airkit.score(path, data_file(), least_score=0.1, listener=(heard := Recorder()))
    assert not heard.notes
    with pytest.raises(PredictionsError, match="least_score"):
        airkit.score(path, data_file(), least_score=float("nan"))
