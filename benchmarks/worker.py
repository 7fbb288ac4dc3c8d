"""Processes that measure: each with threads, and if need be an airkit, of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import airkit

HERE = Path(__file__).parent
OURS = Path(airkit.__file__).parents[1]
"""The source tree that this airkit was imported from."""


class Worker:
    """A module of this folder in a process of its own, which answers requests one by one."""

    def __init__(self, module: str, threads: int, source: Path = OURS) -> None:
        """Start ``module``, which calls ``serve``, with the airkit of ``source``."""
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, HERE / f"{module}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads, source),
        )

    def ask(self, **request: Any) -> Any:
        """What the module's function returns for these arguments."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"benchmarks/{self.module}.py stopped; its message is above")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def environment(threads: int, source: Path = OURS) -> dict[str, str]:
    """That of a process with so many threads and the airkit of a source tree."""
    paths = filter(None, [str(source), os.environ.get("PYTHONPATH")])
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    return {**os.environ, **own}


def serve(answer: Callable[..., Any]) -> None:
    """Answer every request until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
