"""Damages files of each format: ``damage(content, rng)`` returns the damaged content.

The damage is aimed: archives, checksums and compressed streams are made right again, so that it
reaches the code that reads what is inside.
"""

from __future__ import annotations

import ctypes
import gzip
import io
import json
import random
import re
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tomli_w
import torch
from torch import Tensor

from hostile.damage import EDGES, LOCAL, forge_tree, spoil

Damage = Callable[[bytes, random.Random], bytes]

# JSON and TOML

ODD: tuple[Any, ...] = (
    True, 0, -1, 3, 2**31, 2**63, 10**400, 0.5, -1e38, float("nan"), float("inf"), "", "x", "\0",
    "auto", "9" * 5000, "x" * 10**5, "\x1b[2J\nall is well", "\u202e", "/dev/zero", "../..",
    [], {}, [1, "a"], [8192] * 70, {"step": 3}, [[[]]], "package.module:Class", "os:system",
)  # fmt: skip
BROKEN = (
    "", "null", "[]", "{", "[" * 30_000, '{"data":' * 9000, "9" * 5000, '{"\\ud800": 1}',
    '{"data": ' + "9" * 5000 + "}", '"' + "x" * 10**6 + '"', "\ufeff{}", "\x00",
)  # fmt: skip
LINES = (
    "[train]", "[[train]]", "[train.steps]", "train = 3", "[", "[.]", "x", "= 3", "'' = 1",
    "steps = 3\nsteps = 4", '["\\u001b[31m"]', "a" * 20_000 + " = 1", "[" + "a." * 5000 + "a]",
    "# \x7f", "\x00", "\ufeff", "\r", '"\\ud800" = 1', "[[a]]\n" * 9000, "a = " + "{a=" * 300,
    "a = 1979-05-27T07:32:00Z", "a = 1e400", "[model]\nencoder_net = [" + "8192," * 5000 + "]",
)  # fmt: skip


def odd(value: Any, rng: random.Random) -> Any:
    """Another value, for a number often another number."""
    if type(value) in (int, float) and rng.random() < 0.5:
        return rng.choice((-value, 10 * value, value + 1, float(value), str(value)))
    return rng.choice(ODD)


def json_text(content: bytes, rng: random.Random) -> bytes:
    """JSON with an odd value somewhere or a line that is broken."""
    lines = [content] if content.startswith(b"{\n") else content.splitlines()
    at = rng.randrange(len(lines))
    forged = json.dumps(forge_tree(json.loads(lines[at]), rng, odd))
    lines[at] = rng.choice((forged, forged, forged, rng.choice(BROKEN))).encode()
    return b"\n".join(lines)


def toml_values(content: bytes, rng: random.Random) -> bytes:
    """TOML with odd values or keys."""
    values = tomllib.loads(content.decode())
    for _ in range(rng.choice((1, 1, 3))):
        values = forge_tree(values, rng, odd)
    return tomli_w.dumps(values if isinstance(values, dict) else {"a": values}).encode()


def toml_lines(content: bytes, rng: random.Random) -> bytes:
    """TOML with odd or repeated lines, or in another encoding."""
    lines = content.decode().split("\n")
    for _ in range(rng.choice((1, 1, 3))):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice((rng.choice(lines), *LINES)))
    encoding = rng.choice((*["utf-8"] * 6, "utf-16", "utf-8-sig", "utf-7", "cp037"))
    return "\n".join(lines).encode(encoding, "replace")


# HDF5


def hdf5_structure(content: bytes, rng: random.Random) -> bytes:
    """Attributes, arrays and links that HDF5 allows and the format of data files does not."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        for edit in rng.choices(_EDITS, k=rng.choice((1, 1, 2))):
            edit(file, rng)
    return buffer.getvalue()


def hdf5_headers(content: bytes, rng: random.Random) -> bytes:
    """A few bytes of superblock and object headers, with checksums that are right again."""
    data = bytearray(content)
    parts = _checked_parts(data)
    for start, stop in rng.choices(parts, k=rng.choice((1, 1, 2, 3))):
        inner = data[start + 6 : stop - 4]
        rng.choice(LOCAL)(inner, rng)
        data[start + 6 : stop - 4] = inner
    for start, stop in parts:
        part = bytes(data[start : stop - 4])
        struct.pack_into("<I", data, stop - 4, _checksum()(part, len(part), 0))
    return bytes(data)


def _checked_parts(data: bytearray) -> list[tuple[int, int]]:
    """Start and end of the parts that end with a checksum."""
    found = [(0, 48)]
    for match in re.finditer(b"OHDR", data):
        flags = data[match.start() + 5]
        at = match.start() + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
        size = 1 << (flags & 3)
        stop = at + size + int.from_bytes(data[at : at + size], "little") + 4
        if stop <= len(data):
            found.append((match.start(), stop))
    return found


@cache
def _checksum() -> Any:
    """HDF5's own function, from the library that h5py has loaded."""
    match = re.search(r"/\S*/libhdf5[-.][^/_\s]*so\S*", Path("/proc/self/maps").read_text())
    assert match is not None
    function = ctypes.CDLL(match.group()).H5_checksum_metadata
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32)
    function.restype = ctypes.c_uint32
    return function


def _taken(file: Any, rng: random.Random) -> tuple[str, Any, Any]:
    """Remove an array; returns its name, shape and type."""
    split = rng.choice(("train", "val", "test"))
    name = f"{split}/{rng.choice(sorted(file[split]))}"
    array = file[name]
    del file[name]
    return name, array.shape, array.dtype


def _attribute(file: Any, rng: random.Random) -> None:
    """Remove an attribute, or give it another type, shape or text."""
    name = rng.choice([*file.attrs])
    value: Any = rng.choice((
        None, 0, 1, 2, 2**63 - 1, float("nan"), b"", b"x" * 60_000, b"\xff\xfe", b"\x1b[2J\nwell",
        "variable length", np.array([1, 1]), np.zeros((0,)), np.array([b"a", b"b"]), np.void(b"a"),
        np.uint64(2**64 - 1), np.complex64(1j), h5py.Empty("f4"), h5py.Empty("S9"), file["val"].ref,
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
    ))  # fmt: skip
    del file.attrs[name]
    if value is not None:
        file.attrs[name] = value


def _configuration(file: Any, rng: random.Random) -> None:
    """Another configuration, often of other sizes."""
    text: bytes = file.attrs["config"]
    values = json.loads(text)
    for name in rng.sample(("train", "canvas_size", "max_digits"), rng.randrange(3)):
        values["data"][name] = rng.choice((0, 1, 100, 1024, 10**8))
    text = json.dumps(values).encode()
    file.attrs["config"] = np.bytes_(rng.choice((text, json_text(text, rng)[:64_000])))


def _layout(file: Any, rng: random.Random) -> None:
    """An array of another shape, type, chunking or filter, with content or without."""
    name, shape, dtype = _taken(file, rng)
    shape = rng.choice((shape, shape, shape[::-1], (), (2**40,), (2**20,) * 3, (*shape, 1), (0,)))
    dtype = rng.choice((
        dtype, dtype, "i8", ">f4", "S8", "c8", "V3", "?", h5py.string_dtype(), h5py.ref_dtype,
        h5py.vlen_dtype("u1"), h5py.enum_dtype({"a": 1}, "u1"), [("a", "u1")],
    ))  # fmt: skip
    filters: Any = rng.choice((
        {}, {"compression": "gzip"}, {"compression": "lzf"}, {"fletcher32": True}, {"chunks": True},
        {"scaleoffset": 0}, {"maxshape": tuple(None for _ in shape)},
    ))  # fmt: skip
    made = file.create_dataset(name, shape, dtype, fillvalue=rng.choice((None, 1)), **filters)
    if made.size < 10**5 and made.dtype.kind in "uif":
        made[...] = 1


def _filter(file: Any, rng: random.Random) -> None:
    """Chunks behind a filter that is unknown or has forged parameters; chunks of other bytes."""
    name, shape, dtype = _taken(file, rng)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(tuple(max(1, size) for size in shape))
    number = rng.choice((1, 1, 2, 3, 5, 6, 32000, 32001))
    plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (rng.randrange(9),) * rng.randrange(8))
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
    made = h5py.h5d.create(file.id, name.encode(), kind, space, plist)
    chunk = rng.choice((b"", b"x", rng.randbytes(99), bytes(10**6), b"x\x9c" + bytes(300)))
    made.write_direct_chunk((0,) * len(shape), chunk, rng.choice((0, 0, 1, 255)))


def _link(file: Any, rng: random.Random) -> None:
    """A link in place of an array: soft, external, hard, in a ring, or to nothing."""
    name, _, _ = _taken(file, rng)
    file[name] = rng.choice((
        h5py.SoftLink("/val/image"), h5py.SoftLink("/" + name), h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("/etc/hostname", name), h5py.ExternalLink("data.h5", name),
        file["/"], file["val"], file["val/count"], np.dtype("u1"),
    ))  # fmt: skip


def _elsewhere(file: Any, rng: random.Random) -> None:
    """An array whose numbers are in another file."""
    name, shape, dtype = _taken(file, rng)
    other = rng.choice(("/etc/hostname", "/dev/zero", "data.h5", "none"))
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(other, name, shape)
    if rng.random() < 0.5:
        file.create_virtual_dataset(name, layout, fillvalue=1)
    else:
        file.create_dataset(name, shape, dtype, external=[(other, 0, h5py.h5f.UNLIMITED)])


def _number(file: Any, rng: random.Random) -> None:
    """Numbers that no canvas has."""
    name, shape, dtype = _taken(file, rng)
    odd = (255, 128, 0, 1) if dtype.kind != "f" else (float("nan"), float("inf"), -5, 1e30)
    file[name] = np.full(shape, rng.choice(odd)).astype(dtype)


def _bomb(file: Any, rng: random.Random) -> None:
    """A few bytes of chunks that decompress to very many."""
    side, many = rng.choice(((1024, 400), (1024, 16), (512, 64)))
    values = json.loads(file.attrs["config"])
    values["data"].update(canvas_size=side, train=many)
    file.attrs["config"] = np.bytes_(json.dumps(values))
    del file["train/image"]
    chunks = rng.choice(((1, side, side), (min(many, 64), side, side)))
    kind: Any = {"dtype": "u1", "chunks": chunks, "compression": "gzip"}
    made = file.create_dataset("train/image", (many, side, side), **kind)
    packed = rng.choice((b"", rng.randbytes(950), rng.randbytes(70_000)))
    for row in range(0, many, chunks[0]):
        made.id.write_direct_chunk((row, 0, 0), packed)


_EDITS = (
    _attribute, _attribute, _configuration, _configuration, _layout, _layout, _filter, _link,
    _elsewhere, _number, _bomb,
)  # fmt: skip

# Checkpoints: archives with a pickle and tensors

CALLS = (
    "os system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__",
    "subprocess Popen", "torch load", "torch.hub load", "torch.storage _load_from_bytes",
    "torch Tensor", "torch._utils _rebuild_parameter", "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_qtensor", "torch._utils _rebuild_meta_tensor_no_storage",
    "torch._utils _rebuild_wrapper_subclass", "torch._tensor _rebuild_from_type_v2",
    "torch DoubleStorage", "torch Size", "torch device", "torch.serialization _get_layout",
    "collections Counter", "builtins bytearray", "_codecs encode", "pickle loads", "numpy dtype",
)  # fmt: skip


def zip_entries(content: bytes) -> dict[str, bytes]:
    """The parts of an archive by their names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of ``entries``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(thing: Any, *, zipped: bool = True) -> bytes:
    """What ``torch.save`` makes of a thing."""
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def loaded(content: bytes) -> dict[str, Any]:
    """What a checkpoint holds."""
    found: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return found


def call(name: str) -> bytes:
    """The instruction of a pickle that names a function."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def zip_directory(content: bytes, rng: random.Random) -> bytes:
    """The archive's directory at the end of the file, where offsets and lengths are."""
    start = content.find(b"PK\x01\x02")
    directory = bytearray(content[start:])
    rng.choice(LOCAL)(directory, rng)
    return content[:start] + directory


def zip_parts(content: bytes, rng: random.Random) -> bytes:
    """One part of the archive damaged, gone, renamed or filled; or all of them compressed."""
    entries = zip_entries(content)
    name = rng.choice(list(entries))
    part = entries.pop(name)
    other = rng.choice(("archive/data.pkl", "../it", "/etc/passwd", name + "x", name.upper()))
    new = rng.choice((b"", bytes(3 * 10**6), content, b"0" * 100, b"-1"))
    entries |= rng.choice(({name: spoil(part, rng)}, {}, {other: part}, {name: new}))
    return zipped(entries, rng.choice((*[zipfile.ZIP_STORED] * 5, zipfile.ZIP_LZMA)))


def pickle_program(content: bytes, rng: random.Random) -> bytes:
    """The pickle with other calls, numbers or instructions, in a sound archive."""
    entries = zip_entries(content)
    name = next(name for name in entries if name.endswith("data.pkl"))
    code = entries[name]
    known = ("torch._utils _rebuild_tensor_v2", "collections OrderedDict", "torch FloatStorage")
    at = rng.choice([at for at in range(len(code)) if code[at] in b"KMJ"])
    number = rng.choice((b"K\xff", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x8a\x01\x80"))
    entries[name] = rng.choice((
        spoil(code, rng),
        code[:at] + number + code[at + 2 :],
        code.replace(call(rng.choice(known)), call(rng.choice(CALLS)), rng.choice((1, -1))),
        b"\x80\x02" + call(rng.choice(CALLS)) + rng.choice((b"N\x85R.", b")\x81N}b.", b"(Nt}bR.")),
    ))  # fmt: skip
    return zipped(entries)


def checkpoint_values(content: bytes, rng: random.Random) -> bytes:
    """A well-formed checkpoint in which one or two values are not what they should be."""
    found = loaded(content)
    for _ in range(rng.choice((1, 1, 2))):
        found = forge_tree(found, rng, _odd_part)
    return saved(found)


def laughs() -> list[Any]:
    """A list of few bytes that takes for ever to walk through."""
    inner: list[Any] = ["ha"]
    for _ in range(40):
        inner = [inner, inner, inner]
    return inner


def _odd_part(value: Any, rng: random.Random) -> Any:
    if isinstance(value, Tensor) and rng.random() < 0.8:
        return rng.choice(_odd_tensors(value))()
    if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
        return json_text(value.encode(), rng).decode()
    return rng.choice((
        None, laughs(), torch.ones(3), torch.tensor(3), torch.float16, {1, 2}, 1j, (), b"x", {1: 2},
        torch.device("cuda:7"), torch.Size([2]), bytearray(b"x"), -(10**5000), *ODD,
    ))  # fmt: skip


def _odd_tensors(tensor: Tensor) -> tuple[Callable[[], Any], ...]:
    """Makers of tensors of another shape, layout, type or content."""
    one, plain = torch.ones(1), tensor.float()
    sparse = (torch.zeros(1, 0), torch.zeros(0), (2**40,))  # a terabyte, of which nothing is there
    return (
        lambda: torch.ones(()), lambda: torch.ones(0), lambda: torch.ones(*tensor.shape, 2),
        lambda: tensor.reshape(-1), lambda: tensor.mT, lambda: torch.ones(2 * tensor.numel())[::2],
        lambda: one.expand(2**40), lambda: one.expand(tensor.shape), lambda: tensor[:0],
        tensor.double, tensor.half, tensor.bool, lambda: tensor.to(torch.complex64),
        lambda: tensor.to("meta"), tensor.to_sparse, lambda: tensor.to(torch.float8_e4m3fn),
        lambda: torch.nn.Parameter(plain), lambda: torch.empty(2**40, device="meta"),
        lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.quint8),
        lambda: torch.sparse_coo_tensor(*sparse), lambda: plain * float("nan"),
        lambda: plain + float("inf"), lambda: plain * 1e38, lambda: plain * 0,
    )  # fmt: skip


# IDX files, gzip and images


def idx_header(content: bytes, rng: random.Random) -> bytes:
    """Other dimensions, with or without as many bytes behind them."""
    start = 4 + 4 * content[3]
    sizes = [*struct.unpack_from(f">{content[3]}I", content, 4)]
    for at in rng.sample(range(len(sizes)), rng.randint(1, len(sizes))):
        sizes[at] = rng.choice((*EDGES[:10], 3, 4, 5, 6, 7, 28, 46341))
    header, body = content[:4] + struct.pack(f">{len(sizes)}I", *sizes), content[start:]
    wanted = prod(sizes)
    if wanted < 10**6 and rng.random() < 0.7:
        body = (body * (wanted // max(1, len(body)) + 1))[:wanted]
    return header + body


def idx_values(content: bytes, rng: random.Random) -> bytes:
    """Other ink or labels, all of one value or any."""
    start = 4 + 4 * content[3]
    many = len(content) - start
    return content[:start] + rng.choice((rng.randbytes(many), bytes([rng.randrange(256)]) * many))


def gzipped(content: bytes, rng: random.Random) -> bytes:
    """An IDX file, damaged or not, in a gzip stream that is damaged or not."""
    content = rng.choice((idx_header, idx_values))(content, rng)
    stream = gzip.compress(content, rng.randrange(10), mtime=0)
    flags = b"\x1f\x8b\x08" + rng.randbytes(7) + rng.choice((b"", b"x\0", b"x" * 200_000))
    tails = (bytes(512), b"tail", b"\x1f\x8b", gzip.compress(b"") * 50, stream)
    return rng.choice((
        stream, stream, spoil(stream, rng), spoil(stream, rng), gzip.compress(stream),
        stream + rng.choice(tails), flags + zlib.compress(content)[2:-4] + rng.randbytes(8),
    ))  # fmt: skip


def image_parts(content: bytes, rng: random.Random) -> bytes:
    """A NumPy file with another header, or a PNG file with odd chunks and right checksums."""
    if content.startswith(b"\x93NUMPY"):
        shapes = ("(2, 12, 12)", "(288,)", "()", "(2**40, 9)", "(-1, 9, 9)", "(0, 12, 12)")
        kinds = ("|u1", "|b1", "<f4", "<f8", "<f2", "<c8", "|O", "<U9", "|V8", "<M8[s]", "x")
        return npy(rng.choice(shapes), rng.choice(kinds), rng.choice(("False", "True", "7")))
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    at = rng.randrange(len(chunks))
    kind, body = chunks[at]
    new = rng.choice((b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"IDAT", b"acTL")), rng.randbytes(20)
    spoilt = [(kind, spoil(body, rng))]
    chunks[at : at + 1] = rng.choice(
        (spoilt, spoilt, spoilt, [], [(kind, body)] * 2, [new, spoilt[0]])
    )
    return png(*chunks)


def npy(shape: str, kind: str, order: str = "False") -> bytes:
    """A NumPy file of 2,000 bytes whose header says so."""
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(2000)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of chunks, each a name and what it holds."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        content += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return content
