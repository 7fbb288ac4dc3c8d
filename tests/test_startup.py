"""Asking for help is quick, because nothing heavy is loaded for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import airkit

HEAVY = ("h5py", "matplotlib", "pyro", "torch")


def _output(code: str) -> str:
    """The last line that ``code`` prints in a fresh Python."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _loaded(code: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after ``code``."""
    tail = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(_output(f"{code}\n{tail}").split())


def _running(*arguments: str) -> str:
    """Code that runs the command line, and survives its exit."""
    return (
        f"import sys; sys.argv = ['airkit', *{list(arguments)!r}]\n"
        "import airkit.cli\n"
        "try: airkit.cli.run()\n"
        "except SystemExit as exit: assert exit.code == 0, exit.code"
    )


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import airkit", [*HEAVY, "numpy", "pydantic", "rich", "typer"]),
        (_running("--help"), [*HEAVY, "numpy", "pydantic", "rich"]),
        (_running("--version"), [*HEAVY, "numpy", "pydantic", "rich"]),
        (_running("train", "--help"), [*HEAVY, "numpy", "rich"]),
        (_running("config", "show"), [*HEAVY, "numpy", "rich"]),
        ("import airkit; airkit.describe", ["torch"]),
        ("import airkit; airkit.train", ["pyro"]),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str, absent: list[str]) -> None:
    assert _loaded(code) & {*absent} == set()


def test_this_test_sees_what_is_loaded() -> None:
    assert "numpy" in _loaded("import airkit; airkit.make_data")


def test_help_is_quick() -> None:
    """The best of several, as the machine may be busy: under 0.3 s on one core by itself."""
    code = "import time; began = time.process_time()\n" + _running("--help")
    code += "\nprint(time.process_time() - began)"
    took = [float(_output(code)) for _ in range(3)]
    assert min(took) < 0.3


@pytest.mark.parametrize("name", sorted(set(airkit.__all__) - {"__version__"}))
def test_every_light_name_leads_home(name: str) -> None:
    assert getattr(airkit, name).__name__.endswith(name)
    assert name in dir(airkit)


def test_other_names_are_none_of_airkits() -> None:
    with pytest.raises(AttributeError, match=r"^module 'airkit' has no attribute 'trian'$"):
        _ = airkit.trian


@pytest.mark.parametrize(
    "code",
    [
        "import airkit.settings",
        "from airkit import settings",
        "from airkit.settings import resolve",
        "import airkit; airkit.settings",
        "import airkit.config.settings, airkit.settings",
    ],
)
def test_settings_is_one_module_under_two_names(code: str) -> None:
    same = "import airkit.config.settings as home; assert airkit.settings is home"
    named = "import sys; assert sys.modules['airkit.settings'] is home"
    assert "torch" not in _loaded(f"{code}\nimport airkit\n{same}\n{named}")


IN_NOTEBOOK = """
import sys
from types import SimpleNamespace
shell = SimpleNamespace(config={"IPKernelApp": {}})
sys.modules |= {"IPython": SimpleNamespace(get_ipython=lambda: shell), "ipywidgets": None}
sys.modules["ipykernel.zmqshell"] = None
"""
"""What tqdm takes for a notebook without ipywidgets, of which it warns where it is imported."""


@pytest.mark.parametrize(
    ("module", "warns"),
    [
        ("tqdm.auto", True),
        ("airkit.data.mnist", False),
        ("airkit.model.pyro_programs", False),
    ],
)
def test_no_warning_of_widgets_that_nothing_needs(module: str, warns: bool) -> None:
    command = [sys.executable, "-c", f"{IN_NOTEBOOK}import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("IProgress" in done.stderr) == warns
