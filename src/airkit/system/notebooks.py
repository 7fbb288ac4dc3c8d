"""Imports of libraries that warn in notebooks of what airkit does not need."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_widgets_warning() -> Iterator[None]:
    """Import tqdm, as Pyro and pooch do, without its warning that ipywidgets are missing.

    airkit's own progress bars need none.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield
