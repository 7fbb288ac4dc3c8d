"""Whether the chunks of an array are ones that HDF5 can be trusted to read."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

KNOWN_FILTERS = {1, 2, 32000}
"""HDF5's numbers for gzip, shuffle and lzf."""
_MOST_IN_CHUNK = 2**26  # no writer of this format makes chunks of so many numbers


def filters(dataset: Any) -> set[int]:
    """Numbers of the filters that an array's chunks passed.

    Some of those that HDF5 has crash it where their parameters are forged.
    """
    plist = dataset.id.get_create_plist()
    return {plist.get_filter(place)[0] for place in range(plist.get_nfilters())}


def all_there(dataset: Any) -> bool:
    """Whether every chunk is in the file, none of them too large to read."""
    chunks = dataset.chunks
    if chunks is None:
        return True
    wanted = prod(ceil(size / rows) for size, rows in zip(dataset.shape, chunks, strict=True))
    return bool(dataset.id.get_num_chunks() == wanted) and prod(chunks) <= _MOST_IN_CHUNK
