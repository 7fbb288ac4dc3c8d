"""Folders of digits with forged headers, streams and contents."""

from __future__ import annotations

import gzip
import random
import shutil
import struct
import zlib
from pathlib import Path

from fuzz import damage

_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DIMENSIONS = (*damage.EDGES[:10], 3, 4, 5, 6, 7, 28, 46341, 65535, 65536)


def make(seeds: Path, path: Path, rng: random.Random) -> str:
    """Write the folder ``path`` with one or two of its four files spoilt."""
    shutil.copytree(seeds / "digits", path)
    how = []
    for name in rng.sample(_NAMES, rng.choice((1, 1, 2))):
        file = path / name
        content, word = rng.choice(_WAYS)(file.read_bytes(), rng)
        how.append(word)
        if word == "bomb":
            content = (seeds / "bomb.gz").read_bytes()
        elif rng.random() < 0.5:
            content, word = rng.choice(_ZIPS)(content, rng)
            how.append(word)
        file.unlink()
        file.with_name(name + rng.choice(("", ".gz"))).write_bytes(content)
    return " ".join(how)


def _as_it_is(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    return content, "whole"


def _header(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Other dimensions, with or without as many bytes."""
    data = bytearray(content)
    for at in rng.sample(range(4, 4 + 4 * data[3], 4), rng.randint(1, data[3])):
        struct.pack_into(">I", data, at, rng.choice(_DIMENSIONS) % 2**32)
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    wanted = 1
    for size in shape:
        wanted *= size
    if wanted < 10**6 and rng.random() < 0.7:
        start = 4 + 4 * data[3]
        body = (data[start:] or bytearray(1)) * (wanted // max(1, len(data) - start) + 1)
        data[start:] = body[:wanted]
    return bytes(data), "header"


def _magic(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    data = bytearray(content)
    data[rng.randrange(4)] = rng.randrange(256)
    return bytes(data), "magic"


def _values(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Other ink or other labels, all of one value or any."""
    start = 4 + 4 * content[3]
    many = len(content) - start
    body = rng.choice((rng.randbytes(many), bytes([rng.randrange(256)]) * many))
    return content[:start] + body, "values"


def _bomb(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    return content, "bomb"


_WAYS = (
    damage.spoil,
    damage.spoil,
    damage.spoil,
    _header,
    _header,
    _header,
    _magic,
    _values,
    _as_it_is,
    _bomb,
)


def _zipped(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    return gzip.compress(content, rng.randrange(10), mtime=0), "gz"


def _spoilt_gzip(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    spoilt, how = damage.spoil(gzip.compress(content, mtime=0), rng)
    return spoilt, f"gz {how}"


def _members(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Several streams behind one another, some of nothing."""
    at = rng.randrange(len(content) + 1)
    parts = [content[:at], b"", content[at:], *rng.choice(([], [b""] * 50, [b"more"]))]
    return b"".join(gzip.compress(part, mtime=0) for part in parts), "gz members"


def _twice(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    return gzip.compress(gzip.compress(content)), "gz twice"


def _flags(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Optional fields of the header that are cut, endless or very long."""
    name = rng.choice((b"", b"x" * 200_000, b"x\0", b"\xff\xff"))
    body = zlib.compress(content)[2:-4]
    flags = bytes([rng.randrange(256)])
    return b"\x1f\x8b\x08" + flags + bytes(6) + name + body + rng.randbytes(8), "gz flags"


def _tail(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    tail = rng.choice((bytes(512), bytes(10**6), b"tail", b"\x1f\x8b", b"\x1f\x8b\x08"))
    return gzip.compress(content) + tail, "gz tail"


_ZIPS = (_zipped, _spoilt_gzip, _spoilt_gzip, _members, _twice, _flags, _tail)
