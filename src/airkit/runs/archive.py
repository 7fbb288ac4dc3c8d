"""Checks of the zip archive and the pickle that ``torch.save`` writes, before they are loaded.

``torch.load`` with ``weights_only=True`` runs no code, but a file can make it take any amount of
memory or time, or crash.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from airkit.runs.records import require

_GLOBALS = re.compile(
    r"torch\._utils _rebuild_tensor_v2|collections OrderedDict"
    r"|torch (Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
)
"""Globals that a checkpoint's pickle may refer to."""
_MOST_PICKLE = 2**19  # bytes: some 3,000 tensors; the largest model of airkit's own has fewer
_MOST_TUPLE = 1_000  # items of a tuple and of all tuples in it; a tensor's has some twenty


def check_archive(path: Path) -> None:
    """Check that ``torch.save`` could have written the file: its zip archive and its pickle.

    Raises:
        BadZipFile, ValueError, or any other exception of ``zipfile`` on malformed bytes.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        require(parts[0].header_offset == 0, "something before its first part")
        require(all(part.compress_type == zipfile.ZIP_STORED for part in parts), "compression")
        size = sum(max(part.file_size, part.compress_size) for part in parts)
        require(size <= path.stat().st_size, "parts that are larger than the file")
        require(archive.testzip() is None, "a wrong checksum")  # torch.load compares none
        (pickle,) = (part for part in parts if part.filename.endswith("data.pkl"))
        require(pickle.file_size <= _MOST_PICKLE, "a pickle too large")
        _check_pickle(archive.read(pickle))


def _check_pickle(content: bytes) -> None:
    """Walk through a pickle without running it; refuse other globals, and endless tuples.

    Tuples in tuples can be so many that hashing them takes forever, or nested so deeply that it
    crashes. So ``stack`` mirrors the pickle's stack, with the number of items in each of its items.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[object, int] = {}
    for code, argument, _ in pickletools.genops(content):
        if code.name == "GLOBAL":
            require(_GLOBALS.fullmatch(str(argument)) is not None, f"a call of {argument}")
        if "PUT" in code.name:
            memo[argument] = stack[-1]
        elif "GET" in code.name:
            stack.append(memo[argument])
        elif code.name == "MARK":
            marks.append(len(stack))
        else:
            items = sum(_popped(code, stack, marks))
            require("TUPLE" not in code.name or items < _MOST_TUPLE, "endless tuples")
            stack += [1 + items] * len(code.stack_after)


def _popped(code: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> Iterator[int]:
    """Pop what an instruction takes from the stack."""
    below = len(code.stack_before)
    if pickletools.markobject in code.stack_before:
        below = code.stack_before.index(pickletools.markobject)
        start = marks.pop()
        yield from stack[start:]
        del stack[start:]
    for _ in range(below):
        yield stack.pop()
