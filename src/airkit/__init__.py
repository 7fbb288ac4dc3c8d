"""airkit: Attend-Infer-Repeat on multi-MNIST, from canvases to counted digits.

The names below load what they need when they are first used: importing airkit loads neither
torch nor h5py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airkit._version import __version__

if TYPE_CHECKING:
    from airkit.config import settings
    from airkit.config.schema import Config
    from airkit.data.dataset import CanvasDataset
    from airkit.data.make import make_data
    from airkit.errors import AirkitError
    from airkit.evaluation.compare import compare
    from airkit.evaluation.evaluate import evaluate
    from airkit.evaluation.infer import infer
    from airkit.figures.render import render
    from airkit.runs.describe import describe
    from airkit.runs.export import export
    from airkit.sweeps.sweep import sweep
    from airkit.training.loop import train
    from airkit.web.report import report
    from airkit.web.server import demo

__all__ = [
    "AirkitError",
    "CanvasDataset",
    "Config",
    "__version__",
    "compare",
    "demo",
    "describe",
    "evaluate",
    "export",
    "infer",
    "make_data",
    "render",
    "report",
    "settings",
    "sweep",
    "train",
]

_HOMES = {
    "AirkitError": "airkit.errors",
    "CanvasDataset": "airkit.data.dataset",
    "compare": "airkit.evaluation.compare",
    "Config": "airkit.config.schema",
    "demo": "airkit.web.server",
    "describe": "airkit.runs.describe",
    "evaluate": "airkit.evaluation.evaluate",
    "export": "airkit.runs.export",
    "infer": "airkit.evaluation.infer",
    "make_data": "airkit.data.make",
    "render": "airkit.figures.render",
    "report": "airkit.web.report",
    "sweep": "airkit.sweeps.sweep",
    "train": "airkit.training.loop",
}


def __getattr__(name: str) -> Any:
    if name == "settings":
        return import_module("airkit.config.settings")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "settings"})
