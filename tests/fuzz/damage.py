"""Bytes spoilt at random: flipped, cut, extended, zeroed, swapped, repeated, overwritten."""

from __future__ import annotations

import random
import struct

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
"""Numbers at which readers of lengths and offsets go wrong."""


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def extend(data: bytearray, rng: random.Random) -> None:
    data += rng.choice((bytes, rng.randbytes))(rng.choice((1, 7, 512, 5000)))


def prefix(data: bytearray, rng: random.Random) -> None:
    data[:0] = rng.choice((bytes, rng.randbytes))(rng.choice((1, 8, 512, 1024)))


def zero(data: bytearray, rng: random.Random) -> None:
    start, length = _block(data, rng)
    data[start : start + length] = bytes(length)


def cut(data: bytearray, rng: random.Random) -> None:
    start, length = _block(data, rng)
    del data[start : start + length]


def repeat(data: bytearray, rng: random.Random) -> None:
    start, length = _block(data, rng)
    data[start:start] = data[start : start + length]


def swap(data: bytearray, rng: random.Random) -> None:
    (one, length), (other, _) = _block(data, rng), _block(data, rng)
    block = data[one : one + length]
    data[one : one + length] = data[other : other + length]
    data[other : other + length] = block


def forge(data: bytearray, rng: random.Random) -> None:
    """Write a number of the sort that stands for a length, an offset or a count."""
    kind = rng.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
    size = struct.calcsize(kind)
    if len(data) > size:
        start = rng.randrange(len(data) - size)
        number = rng.choice((*EDGES, rng.getrandbits(64))) % 2 ** (8 * size)
        struct.pack_into(kind, data, start, number)


def _block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    return rng.randrange(len(data)), rng.choice((1, 4, 16, 64, 512))


DAMAGES = (flip, overwrite, truncate, extend, prefix, zero, cut, repeat, swap, forge)


def spoil(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """``content`` spoilt once or twice, and how."""
    data, names = bytearray(content), []
    for _ in range(rng.choice((1, 1, 1, 2))):
        damage = rng.choice(DAMAGES)
        damage(data or bytearray(1), rng)
        names.append(damage.__name__)
    return bytes(data), "+".join(names)
