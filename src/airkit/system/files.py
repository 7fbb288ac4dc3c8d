"""Atomic writes, kinds and digests of files. Standard library only."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from airkit.errors import OutputError
from airkit.system.signals import defer_signals
from airkit.system.text import quoted

ZIP = b"PK\x03\x04"
"""How zip archives begin, such as checkpoints and NumPy's .npz."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield ``target`` + ``.part`` to write to, and rename it to ``target`` on success.

    The new file is flushed to the disk before the renaming and the folder after it. Whatever
    fails, an older ``target`` stays as it was. Ctrl-C and SIGTERM wait until the end. The name
    is fixed, so that the next process overwrites what a killed one left.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    partial = target.with_name(target.name + ".part")
    with defer_signals():
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                yield partial
                sync(partial)
                partial.replace(target)
                sync(target.parent)
        finally:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn any OSError inside into an OutputError that names ``target``."""
    try:
        yield
    except OSError as error:
        raise _refused(target, error) from error


def _refused(target: Path, error: OSError) -> OutputError:
    """Return the error of a file that cannot be written, as where a file is in a folder's place."""
    there = [place for place in (target, *target.parents) if os.path.lexists(place)]
    files = [place for place in there if not os.path.isdir(place)]
    if files and isinstance(error, FileExistsError | NotADirectoryError):
        hint = "move it away, or name another path"
        return OutputError("A file is in the way", where=files[0], hint=hint)
    return OutputError(
        "Cannot write a file",
        where=target,
        got=error.strerror or str(error),
        hint="check the folder's permissions and the free space, or name another path",
    )


def check_target(target: Path, what: str, *endings: str, option: str = "--out") -> None:
    """Refuse, before the work, a file that cannot be written because of its name.

    Args:
        target: the file.
        what: the message where its name has another ending.
        endings: the endings that it may have; the first one is suggested.
        option: the option that names the file.

    Raises:
        OutputError: a folder is there, or the name has another ending.
    """
    if os.path.isdir(target):
        inside = f"{option} {quoted(target)}/ to write inside it, or " * (option == "--out")
        hint = f"{inside}another {option}"
        raise OutputError("A folder is in the way", where=target, hint=hint)
    if target.suffix.lower() not in endings:
        better = target.with_suffix(endings[0])
        raise OutputError(
            what,
            where=target,
            expected=f"a name that ends in {' or '.join(endings)}",
            got=repr(target.suffix) if target.suffix else "a name without an ending",
            hint=f"another {option}" if os.path.exists(better) else f"{option} {quoted(better)}",
        )


def check_replaceable(
    targets: Sequence[tuple[Path, Path]], option: str, what: str, is_ours: Callable[[Path], bool]
) -> None:
    """Refuse, before the work, files that would replace images, each other, or files of the user's.

    Args:
        targets: the files to write, each with the image that it is of.
        option: the option that asks for them.
        what: what they are, in words.
        is_ours: whether a file that is there was written by an earlier call.

    Raises:
        OutputError: one of them would, or a file is in the place of their folder.
    """
    images, taken = {os.path.realpath(image) for _, image in targets}, dict[Path, Path]()
    for target, image in targets:
        _check_folder(target.parent, option)
        if os.path.realpath(target) in images:
            raise OutputError(
                f"The {what} would replace an image", where=target, hint=f"another {option}"
            )
        if target in taken:
            raise OutputError(
                f"Two images would have the same {what}",
                where=target,
                got=f"{taken[target]} and {image}",
                hint="name a folder, rename one, or infer them separately",
            )
        taken[target] = image
        if os.path.lexists(target) and not is_ours(target):
            raise OutputError(
                "A file that airkit infer did not write is in the way",
                where=target,
                expected=f"no such file, or one of an earlier {option}",
                got="another file",
                hint=f"move it away, or name another {option}",
            )


def _check_folder(folder: Path, option: str) -> None:
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError("A file is in the way", where=folder, hint=f"another {option}")


def write_bytes(target: Path, content: bytes) -> None:
    """Write ``content`` to ``target`` atomically; raises OutputError as ``replacing`` does."""
    with replacing(target) as partial:
        partial.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write ``content`` to ``target`` atomically, as UTF-8."""
    write_bytes(target, content.encode())


def remove(target: Path) -> None:
    """Remove a file, if it is there; raises OutputError where that cannot be."""
    with writing(target):
        target.unlink(missing_ok=True)


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what is in a folder and matches a pattern; nothing where there is no folder."""
    return list(folder.glob(pattern)) if os.path.isdir(folder) else []


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def start_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a regular file; raises OSError."""
    check_regular(path)
    with path.open("rb") as file:
        return file.read(size)


def check_regular(path: Path) -> None:
    """Refuse a device or a pipe, which may never end or never begin.

    Raises:
        OSError: it is one of these, or is not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError("not a regular file")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_kind(path: Path) -> str | None:
    """Return the kind of a file by its first bytes; None where it is none of airkit's."""
    start = b""
    with suppress(OSError):
        start = start_of(path, 512)
    if start.startswith(ZIP) and b"data.pkl" in start:  # torch.save writes that part first
        return "checkpoint"
    return "data file" if start.startswith(b"\x89HDF") else None
