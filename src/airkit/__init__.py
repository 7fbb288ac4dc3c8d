"""airkit: Attend-Infer-Repeat on multi-MNIST, from canvases to counted digits.

The names below load what they need when they are first used: importing airkit loads neither
torch nor h5py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airkit import settings
    from airkit.canvases.make import make_data
    from airkit.comparison import compare
    from airkit.config import Config
    from airkit.dataset import CanvasDataset
    from airkit.demonstration import demo
    from airkit.errors import AirkitError
    from airkit.evaluation import evaluate
    from airkit.exporting.export import export
    from airkit.inference import infer
    from airkit.info import describe
    from airkit.rendering import render
    from airkit.reporting import report
    from airkit.sweeping.sweep import sweep
    from airkit.training.loop import train

__version__ = "0.1.0"

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
    "CanvasDataset": "airkit.dataset",
    "compare": "airkit.comparison",
    "Config": "airkit.config",
    "demo": "airkit.demonstration",
    "describe": "airkit.info",
    "evaluate": "airkit.evaluation",
    "export": "airkit.exporting.export",
    "infer": "airkit.inference",
    "make_data": "airkit.canvases.make",
    "render": "airkit.rendering",
    "report": "airkit.reporting",
    "sweep": "airkit.sweeping.sweep",
    "train": "airkit.training.loop",
}


def __getattr__(name: str) -> Any:
    if name == "settings":
        return import_module("airkit.settings")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "settings"})
