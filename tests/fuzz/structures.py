"""Edits of a data file through h5py: what HDF5 can hold, and this format does not."""

from __future__ import annotations

import json
import random
from typing import Any

import h5py
import numpy as np

_ARRAYS = ("image", "count", "label", "box", "source_index")
_NAMES = (
    "format", "format_version", "airkit_version", "config", "seed", "source", "source_digest",
    "licence", "attribution", "content_digest", "complete",
)  # fmt: skip
CANARY = 0xA7
"""The one byte that the files hold which links and external storage point to."""


def _array(rng: random.Random) -> str:
    return f"{rng.choice(('train', 'val', 'test'))}/{rng.choice(_ARRAYS)}"


def _forget(file: Any, rng: random.Random) -> None:
    del file.attrs[rng.choice(_NAMES)]


def _retype(file: Any, rng: random.Random) -> None:
    """An attribute of another type, or longer than any."""
    vlen, name = h5py.string_dtype(), rng.choice(_NAMES)
    value: Any = rng.choice((
        0, -1, 1, 2, 2**63 - 1, 1.0, float("nan"), True, b"", b"x" * 60_000, b"\xff\xfe", b"\0a",
        b"\x1b[2J\nairkit: all is well", np.array([1, 1]), np.zeros((0,)), np.zeros((2, 2)),
        np.array([b"a", b"b"]), np.void(b"abc"), np.uint64(2**64 - 1), np.int8(1), np.float16(1),
        np.complex64(1j), h5py.Empty("f4"), h5py.Empty("S9"), file.ref, file["val"].ref,
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]), "variable",
    ))  # fmt: skip
    del file.attrs[name]
    if isinstance(value, str):
        file.attrs.create(name, value, dtype=vlen)
    else:
        file.attrs[name] = value


def _configure(file: Any, rng: random.Random) -> None:
    """Another configuration, of other sizes or no JSON at all."""
    text = file.attrs["config"].decode()
    values = json.loads(text)
    section = rng.choice(list(values))
    key = rng.choice(list(values[section]))
    odd: Any = (
        0,
        1,
        -1,
        7,
        1024,
        10**8,
        10**30,
        1.5,
        float("nan"),
        None,
        "x",
        [],
        [1] * 9000,
        True,
    )
    values[section][key] = rng.choice(odd)
    for name in ("train", "canvas_size", "max_digits"):
        if rng.random() < 0.2:
            values["data"][name] = rng.choice((0, 1, 100, 1024, 10**8))
    text = rng.choice((
        json.dumps(values), json.dumps(values), json.dumps(values), "", "{", "[]", "[" * 30_000,
        '{"data":' * 9000, text[:-1], text + "x", "9" * 5000, '{"data": ' + "9" * 5000 + "}",
        '{"\\ud800": 1}', '{"data": {"\\ud800": 1}}', '{"data": {"source": "\\ud800"}}', "null",
    ))  # fmt: skip
    file.attrs["config"] = np.bytes_(text.encode()[:64_000])


def _reshape(file: Any, rng: random.Random) -> None:
    """An array of another shape, type, chunking or filter, with content or without."""
    name = _array(rng)
    old = file[name]
    shape: Any = rng.choice(
        (
            old.shape,
            old.shape,
            old.shape[::-1],
            (),
            (1,),
            (2**40,),
            (2**20, 2**20, 2**20),
            (*old.shape, 1),
            old.shape[:-1],
            (0,),
        )
    )
    dtype = rng.choice(
        (
            old.dtype,
            old.dtype,
            "u1",
            "i8",
            "f8",
            ">f4",
            "S8",
            "c8",
            "V3",
            "?",
            h5py.string_dtype(),
            h5py.ref_dtype,
            h5py.regionref_dtype,
            h5py.vlen_dtype("u1"),
            h5py.enum_dtype({"a": 1}, "u1"),
            [("a", "u1"), ("b", "f4")],
            np.dtype(("u1", (3,))),
        )
    )
    filters: Any = rng.choice(
        (
            {},
            {"compression": "gzip"},
            {"compression": "lzf"},
            {"fletcher32": True},
            {"scaleoffset": 0},
            {"shuffle": True},
            {"chunks": True},
            {"maxshape": tuple(None for _ in shape)},
        )
    )
    fill = {"fillvalue": 1} if rng.random() < 0.3 else {}
    del file[name]
    file.create_dataset(name, shape, dtype, **filters, **fill)
    plain = file[name].dtype.kind in "uif"  # HDF5 crashes on writing some others
    if rng.random() < 0.5 and file[name].size < 10**5 and plain:
        file[name][...] = 1


def _unknown_filter(file: Any, rng: random.Random) -> None:
    """Chunks behind a filter that nobody has, asked for or optional; or cut and bombed chunks."""
    name = _array(rng)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(tuple(max(1, size) for size in shape))
    number = rng.choice((1, 1, 2, 3, 5, 6, 32000, 32001))
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
    plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (rng.randrange(9),) * rng.randrange(8))
    made = h5py.h5d.create(file.id, name.encode(), kind, space, plist)
    chunk = rng.choice((b"", b"x", rng.randbytes(99), bytes(10**6), b"x\x9c" + bytes(300)))
    made.write_direct_chunk((0,) * len(shape), chunk, rng.choice((0, 0, 1, 255)))


def _point(file: Any, rng: random.Random) -> None:
    """A link to somewhere: soft, external, hard, in a ring, or to nothing."""
    name = rng.choice((_array(rng), "train", "val", "test"))
    to: Any = rng.choice((
        h5py.SoftLink("/" + _array(rng)), h5py.SoftLink("/" + name), h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("../canary.h5", name), h5py.ExternalLink("/dev/zero", "x"),
        h5py.ExternalLink("it", name), file["/"], file["train"], file[_array(rng)],
        np.dtype("u1"), np.dtype([("a", "i4")]),
    ))  # fmt: skip
    del file[name]
    file[name] = to


def _storage(file: Any, rng: random.Random) -> None:
    """An array whose numbers are in another file."""
    name = _array(rng)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    if rng.random() < 0.5:
        other = rng.choice(("../canary.bin", "/dev/zero", "it", "none"))
        where = rng.choice((other, f"../../{other}"))
        file.create_dataset(name, shape, dtype, external=[(where, 0, h5py.h5f.UNLIMITED)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        source = rng.choice(("../canary.h5", ".", "it", "/dev/zero"))
        layout[...] = h5py.VirtualSource(source, name, shape)
        file.create_virtual_dataset(name, layout, fillvalue=1)


def _poke(file: Any, rng: random.Random) -> None:
    """Numbers that no canvas has."""
    name = _array(rng)
    if file[name].size:
        flat = file[name][...]
        odd: Any = (255, 128, 0, 1) if flat.dtype.kind != "f" else (np.nan, np.inf, -5, 1e30)
        flat.reshape(-1)[rng.randrange(flat.size)] = np.array(rng.choice(odd)).astype(flat.dtype)
        file[name][...] = flat


def _squeeze(file: Any, rng: random.Random) -> None:
    """A file of few bytes whose chunks unfold into very many."""
    side, many = rng.choice(((1024, 400), (1024, 16), (512, 64)))
    values = json.loads(file.attrs["config"])
    values["data"].update(canvas_size=side, train=many)
    file.attrs["config"] = np.bytes_(json.dumps(values))
    del file["train/image"]
    chunks = rng.choice(((1, side, side), (min(many, 64), side, side)))
    made = file.create_dataset(
        "train/image", (many, side, side), "u1", chunks=chunks, compression="gzip"
    )
    packed = rng.choice((b"", rng.randbytes(950), rng.randbytes(70_000)))
    for row in range(0, many, chunks[0]):
        made.id.write_direct_chunk((row, 0, 0), packed)


def _crowd(file: Any, rng: random.Random) -> None:
    """More groups, arrays and attributes than there should be."""
    for number in range(rng.choice((1, 60))):
        file[rng.choice(("", "val/", "train/more/")) + f"extra{number}"] = number
        file.attrs[f"extra{number}"] = number


EDITS = (
    _forget,
    _retype,
    _retype,
    _configure,
    _configure,
    _reshape,
    _reshape,
    _unknown_filter,
    _point,
    _storage,
    _poke,
    _squeeze,
    _crowd,
)
