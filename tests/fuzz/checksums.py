"""Damage to HDF5 headers that their checksums do not tell of, for they are computed anew."""

from __future__ import annotations

import random
import struct

from fuzz import damage

_MASK = 2**32 - 1


def mend(data: bytearray, rng: random.Random) -> str:
    """Spoil a few bytes within the checked parts of ``data``, and mend their sums."""
    parts = _parts(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        start, stop = rng.choice(parts)
        piece = bytearray(data[start + 6 : stop - 4])
        rng.choice((damage.flip, damage.overwrite, damage.overwrite, damage.forge))(piece, rng)
        data[start + 6 : stop - 4] = piece
    for start, stop in parts:
        struct.pack_into("<I", data, stop - 4, lookup3(bytes(data[start : stop - 4])))
    return f"{len(parts)} parts"


def _parts(data: bytearray) -> list[tuple[int, int]]:
    """Where the superblock and the object headers begin and end, sums included."""
    found = [(0, 48)]
    start = data.find(b"OHDR")
    while start >= 0:
        flags = data[start + 5]
        size = 1 << (flags & 3)
        at = start + 6 + 16 * bool(flags & 32) + 4 * bool(flags & 16)
        length = int.from_bytes(data[at : at + size], "little")
        stop = at + size + length + 4
        if stop <= len(data):
            found.append((start, stop))
        start = data.find(b"OHDR", start + 4)
    return found


def lookup3(key: bytes) -> int:
    """Bob Jenkins' hash, of 2006, as HDF5 uses it for its metadata."""
    a = b = c = (0xDEADBEEF + len(key)) & _MASK
    while len(key) > 12:
        x, y, z = struct.unpack_from("<3I", key)
        a, b, c = _mix((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
        key = key[12:]
    if not key:
        return c
    x, y, z = struct.unpack("<3I", key.ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rotate(c, by)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, by)) & _MASK
        a, b, c = b, c, a
    return b
