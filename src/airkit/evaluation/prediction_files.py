"""Predictions as files: CSV, JSON lines, COCO results, Parquet and NPZ.

They are written some pictures at a time.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from airkit.errors import OutputError
from airkit.evaluation.predictions import Predictions, Rows, check_rows
from airkit.system.extras import check_installed
from airkit.system.files import check_target, replacing
from airkit.system.signals import defer_signals
from airkit.system.text import quoted

Add = Callable[[Predictions], None]
"""Writes the predictions of the next pictures."""


def check_predictions(path: Path, rows: str, samples: int) -> None:
    """Refuse, before the work, a file that cannot be written as asked.

    Raises:
        OutputError: a name of another ending, a folder in its place, a format that does not hold
            what is asked for, or one that needs a library that is not installed.
    """
    check_rows(rows)
    check_target(path, "Predictions of another name than these formats have", *_FORMATS)
    table = path.suffix.lower() == ".csv"
    if samples and (table or path.suffix.lower() == ".json"):
        raise _lacks(path, "samples of the posterior", ".jsonl", ".parquet", ".npz")
    if rows != "pictures" and not table:
        raise _lacks(path, "a choice of rows", ".csv")
    if path.suffix.lower() == ".parquet":
        check_installed("pyarrow", "tables")


@contextmanager
def writing_predictions(path: Path, rows: Rows) -> Iterator[Add]:
    """Yield what writes predictions to ``path``, which appears when all are written.

    Raises:
        OutputError: it cannot be written; an older file is as it was.
        KeyboardInterrupt: Ctrl-C or SIGTERM came; it is raised between two writes.
    """
    with replacing(path) as partial, defer_signals() as stop:
        with _FORMATS[path.suffix.lower()](partial, rows) as write:

            def add(batch: Predictions) -> None:
                stop.check()
                write(batch)

            yield add
        stop.check()


@contextmanager
def _csv(path: Path, rows: Rows) -> Iterator[Add]:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")

        def add(batch: Predictions) -> None:
            table = batch.table(rows)
            if not file.tell():
                writer.writerow(table)
            columns = [_spelled(name, column) for name, column in table.items()]
            writer.writerows(zip(*columns, strict=True))

        yield add


def _spelled(name: str, column: np.ndarray) -> list[Any]:
    """The cells of a column: six digits, and a blank for the index of a file of one picture."""
    if column.dtype.kind == "f":
        return [f"{value:.6g}" for value in column.tolist()]
    values = column.tolist()
    return ["" if value < 0 else value for value in values] if name == "index" else values


@contextmanager
def _json_lines(path: Path, _: Rows) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda batch: file.writelines(json.dumps(it) + "\n" for it in batch.records())


@contextmanager
def _coco(path: Path, _: Rows) -> Iterator[Add]:
    """COCO results: a list of the objects counted, on pictures that are numbered from 1."""
    done, between = 0, "["

    with path.open("w", encoding="utf-8") as file:

        def add(batch: Predictions) -> None:
            nonlocal done, between
            for record in batch.records():
                done += 1
                for each in record["objects"]:
                    found = {"image_id": done, "category_id": 1}
                    found |= {"bbox": each["box"], "score": each["confidence"]}
                    file.write(f"{between}\n{json.dumps(found)}")
                    between = ","

        yield add
        file.write("[]\n" if between == "[" else "\n]\n")


@contextmanager
def _parquet(path: Path, _: Rows) -> Iterator[Add]:
    """A row a picture, with lists of objects and samples as in JSON lines."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415

    with path.open("wb") as file, ExitStack() as stack:
        writers: list[Any] = []

        def add(batch: Predictions) -> None:
            schema = _schema(pa, batch)
            if not writers:
                writers.append(stack.enter_context(ParquetWriter(file, schema)))
            records = [it | {"image": _utf8(it["image"])} for it in batch.records()]
            writers[0].write_table(pa.Table.from_pylist(records, schema))

        yield add


def _schema(pa: Any, batch: Predictions) -> Any:
    """The columns of Parquet, whose types do not depend on what the first pictures hold."""
    number, floats = pa.int64(), pa.list_(pa.float32())
    latents = {"z_where": floats, "z_what": floats}
    runs = pa.struct({"size": pa.list_(number), "counts": pa.list_(number)})
    found = pa.struct({"box": floats, "confidence": pa.float32(), **latents, "mask": runs})
    drawn = {name: pa.list_(kind) for name, kind in latents.items()}
    sample = pa.struct({"count": number, "weight": pa.float32(), **drawn})
    columns = {
        "image": pa.string(),
        **dict.fromkeys(("index", "width", "height"), number),
        "status": pa.string(),
        "true_count": number,
        "true_boxes": pa.list_(floats),
        "true_labels": pa.list_(number),
        "count": number,
        "interval": pa.list_(number),
        "count_probability": floats,
        "score": pa.float32(),
        "objects": pa.list_(found),
        "samples": pa.list_(sample),
    }
    (record,) = batch[:1].records()
    return pa.schema({name: kind for name, kind in columns.items() if name in record})


def _utf8(name: str) -> str:
    """A file's name for formats that hold UTF-8 alone: bytes that are none become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def _npz(path: Path, _: Rows) -> Iterator[Add]:
    """The arrays by name. Each waits in a file without a name, until its final shape is known."""
    with ExitStack() as stack:
        parts: dict[str, _Parts] = defaultdict(
            lambda: _Parts(stack.enter_context(TemporaryFile(dir=path.parent)))
        )

        def add(batch: Predictions) -> None:
            for name, array in batch.arrays.items():
                parts[name].add(array)

        yield add
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in parts.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    array.copy(file)


class _Parts:
    """An array that is added to row by row, and lies in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._like: list[np.ndarray] = []
        """Arrays without content, of the shapes and types of the parts."""

    def add(self, rows: np.ndarray) -> None:
        """Add rows, whose other sides and letters may be more or fewer than before."""
        np.save(self._file, rows, allow_pickle=False)
        self._like.append(np.broadcast_to(np.zeros((), rows.dtype), rows.shape))

    def copy(self, file: IO[bytes]) -> None:
        """Write all rows as one .npy, with 0 to the right and below where sides differ."""
        dtype = np.result_type(*(like.dtype for like in self._like))
        sides = np.max([like.shape[1:] for like in self._like], 0).astype(int).tolist()
        shape = (sum(map(len, self._like)), *sides)
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        self._file.seek(0)
        for like in self._like:
            rows = np.zeros((len(like), *sides), dtype)
            rows[tuple(map(slice, like.shape))] = np.load(self._file, allow_pickle=False)
            file.write(rows.tobytes())


def _lacks(path: Path, what: str, *endings: str) -> OutputError:
    return OutputError(
        f"{path.suffix} does not hold {what}",
        where=path,
        expected=f"a name that ends in {' or '.join(endings)}",
        got=repr(path.suffix),
        hint=f"--out {quoted(path.with_suffix(endings[0]))}",
    )


_FORMATS: dict[str, Callable[[Path, Rows], AbstractContextManager[Add]]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npz": _npz,
    ".jsonl": _json_lines,
    ".json": _coco,
}
"""What writes a file, by its ending."""
