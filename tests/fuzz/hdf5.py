"""Data files spoilt in their bytes, in their structure, or in headers whose sums are mended."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import h5py

from fuzz import damage
from fuzz.checksums import mend
from fuzz.structures import EDITS

_KINDS = ("data.h5", "gzip.h5", "lzf.h5", "none.h5")


def make(seeds: Path, path: Path, rng: random.Random) -> str:
    """Write a data file ``path`` that is spoilt somehow."""
    return rng.choice(_WAYS)(seeds, path, rng)


def _bytes(seeds: Path, path: Path, rng: random.Random) -> str:
    content, how = damage.spoil((seeds / rng.choice(_KINDS)).read_bytes(), rng)
    path.write_bytes(content)
    return how


def _headers(seeds: Path, path: Path, rng: random.Random) -> str:
    """A few bytes of the headers, whose checksums then say that all is well."""
    data = bytearray((seeds / rng.choice(_KINDS)).read_bytes())
    how = mend(data, rng)
    path.write_bytes(data)
    return f"headers {how}"


def _old(seeds: Path, path: Path, rng: random.Random) -> str:
    """The old layout, in which no sum tells of a change."""
    content = (seeds / "old.h5").read_bytes()
    if rng.random() < 0.9:
        data = bytearray(content)
        rng.choice((damage.flip, damage.overwrite, damage.forge))(data, rng)
        content = bytes(data)
    path.write_bytes(content)
    return "old layout"


def _structure(seeds: Path, path: Path, rng: random.Random) -> str:
    """Attributes, arrays and links that HDF5 allows and the format does not."""
    shutil.copyfile(seeds / rng.choice(_KINDS), path)
    names = []
    with h5py.File(path, "r+") as file:
        for edit in rng.choices(EDITS, k=rng.choice((1, 1, 2))):
            names.append(edit.__name__.strip("_"))
            _try(edit, file, rng)
    if rng.random() < 0.1:
        content, how = damage.spoil(path.read_bytes(), rng)
        path.write_bytes(content)
        names.append(how)
    return " ".join(names)


def _try(edit: Any, file: Any, rng: random.Random) -> None:
    """Edit the file; what an earlier edit made may not allow another."""
    try:
        edit(file, rng)
    except (LookupError, AttributeError, TypeError, ValueError, OSError, RuntimeError):
        file.attrs["edited"] = "twice"


_WAYS = (_bytes, _headers, _headers, _old, _structure, _structure, _structure)
