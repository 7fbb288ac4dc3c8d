"""Whether a file is an archive that ``torch.save`` could have written of plain tensors.

``torch.load`` runs no code of a file's, but it can be made to take any amount of memory or time,
or to crash: by parts that unfold as they are read, by calls such as ``bytearray(10**12)``, by
tuples of tuples of tuples. So nothing is handed to it before this has passed.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

_CALLS = ("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "collections OrderedDict")
"""All that a checkpoint's pickle names."""
_MOST_PICKLE = 2**19  # bytes; some 3,000 tensors, of which a model of 64 layers a net has fewer
_MOST_TUPLE = 1_000  # leaves of a tuple with all that is in it; a tensor's has some twenty


def check(path: Path) -> None:
    """Check the archive, its sums and its pickle.

    Raises:
        BadZipFile, ValueError, or whatever else ``zipfile`` makes of bytes without sense.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        _require(parts[0].header_offset == 0, "something before its first part")
        _require(all(part.compress_type == zipfile.ZIP_STORED for part in parts), "squeezed parts")
        size = sum(part.file_size for part in parts)
        _require(size <= path.stat().st_size, "parts that are larger than it")
        _require(archive.testzip() is None, "other sums than it says")  # torch.load compares none
        (pickle,) = (part for part in parts if part.filename.endswith("data.pkl"))
        _require(pickle.file_size <= _MOST_PICKLE, "too large a pickle")
        _check_pickle(archive.read(pickle))


def _check_pickle(content: bytes) -> None:
    """Follow the pickle's program without running it, counting what each thing holds."""
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[object, int] = {}
    for code, argument, _ in pickletools.genops(content):
        if code.name == "GLOBAL":
            _require(argument in _CALLS, f"a call of {argument}")
        if "PUT" in code.name:
            memo[argument] = stack[-1]
        elif "GET" in code.name:
            stack.append(memo[argument])
        elif code.name == "MARK":
            marks.append(len(stack))
        else:
            leaves = sum(_taken(code, stack, marks))
            _require("TUPLE" not in code.name or leaves < _MOST_TUPLE, "endless tuples")
            stack += [1 + leaves] * len(code.stack_after)


def _taken(code: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> Iterator[int]:
    """Take what an instruction takes from the stack."""
    below = len(code.stack_before)
    if pickletools.markobject in code.stack_before:
        below = code.stack_before.index(pickletools.markobject)
        start = marks.pop()
        yield from stack[start:]
        del stack[start:]
    for _ in range(below):
        yield stack.pop()


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise zipfile.BadZipFile(otherwise)
