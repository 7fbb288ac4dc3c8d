"""Processes that start at once: forks of one in which PyTorch and its like are loaded.

A fresh Python takes two seconds of a processor to load them, more than most tests do in it. airkit
itself is loaded by each fork anew. What Python reads of the environment when it starts, such as
PYTHONPATH, is as it was at the first fork. Run as a script, this is the process that forks.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TextIO

LOADED = (
    *("h5py", "matplotlib.figure", "PIL.PngImagePlugin", "rich.progress", "torch"),
    *("airkit.cli.app", "airkit.training.train", "airkit.evaluation.evaluate"),
    *("airkit.figures.render", "airkit.data.make", "airkit.data.strokes"),
)
COMMAND = "import airkit.cli; airkit.cli.run()"
"""What ``python -m airkit`` does."""
SECONDS = 120
"""For how long an end is waited for."""


class Fork:
    """A process that runs Python code; ``stdout`` and ``stderr`` are there where it is piped."""

    stdout: TextIO
    stderr: TextIO

    def __init__(self, reply: socket.socket) -> None:
        reply.settimeout(SECONDS)
        self._reply = reply.makefile("r")
        self._code: int | None = None
        self.pid = int(self._reply.readline())

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        if self._code is None:
            with self._reply:
                self._code = os.waitstatus_to_exitcode(int(self._reply.readline()))
        return self._code

    def end(self) -> None:
        """Kill it if nobody has waited for its end."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()


@cache
def _server() -> socket.socket:
    """A connection to the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        server = subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno())
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours


def start(
    code: str,
    *arguments: object,
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Fork:
    """Start ``python -c code arguments ...`` with these files, given by their descriptors."""
    ours, theirs = socket.socketpair()
    asked = {"code": code, "argv": ["-c", *map(str, arguments)], "cwd": str(cwd or Path.cwd())}
    with ours:
        with theirs:
            handles = [stdin, stdout, stderr, theirs.fileno()]
            socket.send_fds(_server(), [b"."], handles)
        ours.sendall(json.dumps({**asked, "env": dict(env or os.environ)}).encode())
        ours.shutdown(socket.SHUT_WR)
        return Fork(ours)


@contextmanager
def piped(code: str, *arguments: object, **how: Any) -> Iterator[Fork]:
    """A process whose output is read; it is killed at the end of the block if it is alive."""
    (out, into_out), (err, into_err) = os.pipe(), os.pipe()
    with os.fdopen(out) as stdout, os.fdopen(err) as stderr, _nothing() as stdin:
        fork = start(code, *arguments, stdin=stdin, stdout=into_out, stderr=into_err, **how)
        os.close(into_out)
        os.close(into_err)
        fork.stdout, fork.stderr = stdout, stderr
        try:
            yield fork
        finally:
            fork.end()


@contextmanager
def _nothing() -> Iterator[int]:
    """The descriptor of a file that is empty and swallows what is written."""
    with open(os.devnull, "r+") as file:  # noqa: PTH123
        yield file.fileno()


def run(
    code: str, *arguments: object, stdout: int | None = None, stderr: int | None = None, **how: Any
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run``: what is written to no given file is captured, as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _nothing() as stdin:
        into = out.fileno() if stdout is None else stdout
        beside = err.fileno() if stderr is None else stderr
        fork = start(code, *arguments, stdin=stdin, stdout=into, stderr=beside, **how)
        ended = fork.wait()
        return subprocess.CompletedProcess([code], ended, _text(out), _text(err))


def airkit(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return run(COMMAND, *words, **how)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


def _serve() -> dict[str, Any]:
    """Fork for each request; returns the request in the fork that is to run it."""
    with socket.socket(fileno=os.dup(0)) as requests:
        while handles := socket.recv_fds(requests, 1, 4)[1]:
            if os.fork() == 0:
                break
            for handle in handles:
                os.close(handle)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        else:
            os._exit(0)
    *files, reply = handles
    with socket.socket(fileno=reply) as asking:
        asked: dict[str, Any] = json.loads(asking.makefile("rb").read())
        if child := os.fork():
            for handle in (0, *files):
                os.close(handle)
            asking.sendall(f"{child}\n".encode())
            asking.sendall(f"{os.waitpid(child, 0)[1]}\n".encode())
            os._exit(0)
    for number, handle in enumerate(files):
        os.dup2(handle, number)
        os.close(handle)
    return asked


def _become(asked: dict[str, Any]) -> str:
    """Take on arguments, folder, environment and files of a request; returns its code."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[:] = asked["argv"]
    sys.path[0] = ""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = sys.__stdin__ = open(0, encoding=encoding, closefd=False)  # type: ignore[misc] # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        errors = "backslashreplace" if name == "stderr" else None
        binary = open(number, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        stream = io.TextIOWrapper(
            binary, encoding, errors, line_buffering=number == 2, write_through=unbuffered
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    return str(asked["code"])


if __name__ == "__main__":
    gc.disable()  # loading makes much and drops little
    for each in LOADED:
        import_module(each)
    gc.freeze()
    gc.enable()
    exec(compile(_become(_serve()), "-c", "exec"), {"__name__": "__main__"})
