"""Asking for help is quick, because nothing heavy is loaded for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import airkit

HEAVY = ("h5py", "matplotlib", "pyro", "torch")


def _loaded(code: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after ``code``."""
    tail = "import sys, json; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def _running(*arguments: str) -> str:
    """Code that runs the command line, and survives its exit."""
    return (
        f"import sys; sys.argv = ['airkit', *{list(arguments)!r}]\n"
        "import airkit.cli\n"
        "try: airkit.cli.run()\n"
        "except SystemExit as exit: assert exit.code == 0, exit.code"
    )


def test_importing_airkit_loads_next_to_nothing() -> None:
    assert _loaded("import airkit") & {*HEAVY, "numpy", "pydantic", "rich", "typer"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_no_schema(arguments: list[str]) -> None:
    assert _loaded(_running(*arguments)) & {*HEAVY, "numpy", "pydantic", "rich"} == set()


@pytest.mark.parametrize("arguments", [["train", "--help"], ["config", "show"]])
def test_settings_load_nothing_heavy(arguments: list[str]) -> None:
    assert _loaded(_running(*arguments)) & {*HEAVY, "numpy", "rich"} == set()


def test_a_data_file_is_told_without_torch() -> None:
    assert "torch" not in _loaded("import airkit; airkit.describe")


def test_training_loads_pyro_where_it_is_asked_for() -> None:
    assert "pyro" not in _loaded("import airkit; airkit.train")


def test_this_test_sees_what_is_loaded() -> None:
    assert "numpy" in _loaded("import airkit; airkit.make_data")


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
