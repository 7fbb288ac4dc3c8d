"""Tests never reach for the network, nor for the caches of whoever runs them."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from own_module import MODULE

# Small models gain nothing from threads; one a process keeps parallel runs from starving each
# other. Set before torch is first imported, and handed down to subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits takes no time

# In the background of a script Ctrl-C is ignored, here and in subprocesses, and under nohup so is
# a closed terminal; tests send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

gc.disable()  # while tests are collected, which makes much and drops little


def pytest_collection_finish() -> None:
    """Collect garbage from here on, of what is made from here on."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["AIRKIT_OFFLINE"] = "1"
    os.environ["AIRKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def _strokes_drawn_once() -> Iterator[None]:
    """The built-in digits take seconds to draw, and are the same each time."""
    from airkit.data import strokes  # noqa: PLC0415 - after the environment is set

    @cache
    def draw(count: int, seed: int, split: str) -> tuple[Any, Any]:
        images, labels = original(count, seed, split)
        for array in (images, labels):
            array.flags.writeable = False  # nobody may change what all get
        return images, labels

    original = strokes.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strokes, "draw", draw)
        yield


@pytest.fixture(name="clean_pyro")
def _clean_pyro() -> Iterator[None]:
    """Pyro's store and the generators are global."""
    import pyro  # noqa: PLC0415 - few tests need them
    import torch  # noqa: PLC0415

    with torch.random.fork_rng():
        torch.manual_seed(0)
        pyro.clear_param_store()
        yield
        pyro.clear_param_store()


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(name="modules")
def _modules(home: Path) -> Iterator[Path]:
    """A folder to work in, for modules that airkit imports; they are forgotten at the end."""
    path = [*sys.path]
    yield home
    sys.path[:] = path
    for file in home.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.fixture(name="mine")
def _mine(modules: Path) -> None:
    """A module ``mine`` in the current folder."""
    (modules / "mine.py").write_text(MODULE)
