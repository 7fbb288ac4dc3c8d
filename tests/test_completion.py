"""Shells complete commands and options, quickly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

SHELLS = ("bash", "zsh", "fish")
ASKED = {
    "airkit tr": ["train"],
    "airkit comp": ["completion"],
    "airkit train --st": ["--steps"],
    "airkit eval --che": ["--checkpoint"],
    "airkit config s": ["show", "schema"],
    "airkit render --steps": [],
}


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Path:
    """A folder with the program in it, under the name that a user types."""
    program = tmp_path / "airkit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m airkit "$@"\n')
    program.chmod(0o755)
    return tmp_path


def _environment(**others: str) -> dict[str, str]:
    return {**os.environ, **others}


def _answer(typed: str, shell: str) -> str:
    """What the program answers a script of a shell."""
    told = {
        "_AIRKIT_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": typed,
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "airkit"],
        env=_environment(**told),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_asks_the_program(shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"_AIRKIT_COMPLETE=complete_{shell}" in script
    assert script.count("airkit") >= 2


@pytest.mark.parametrize("typed", ASKED)
def test_the_program_completes(typed: str) -> None:
    assert _answer(typed, "bash").split() == ASKED[typed]


def test_zsh_and_fish_get_the_help_beside_it() -> None:
    purpose = "Train AIR, or go on where it stopped."
    assert _answer("airkit tr", "fish") == f"train\t{purpose}\n"
    assert f'"train":"{purpose}"' in _answer("airkit tr", "zsh")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("typed", ASKED)
def test_bash_completes_with_the_script(program: Path, typed: str) -> None:
    script = f"""
        source <(airkit completion bash)
        COMP_WORDS=({typed}) COMP_CWORD=$(( {len(typed.split())} - 1 ))
        $(complete -p airkit | sed 's/.*-F \\([^ ]*\\).*/\\1/') airkit
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=_environment(PATH=f"{program}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ASKED[typed]


def test_completing_loads_nothing_heavy() -> None:
    code = (
        "import sys, airkit.cli\n"
        "try: airkit.cli.run()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'h5py', 'rich'} & set(sys.modules)))"
    )
    asked = {"_AIRKIT_COMPLETE": "complete_bash", "COMP_WORDS": "airkit train --st"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(**asked, COMP_CWORD="2"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "--steps\n[]\n"


def test_another_shell_is_a_usage_error() -> None:
    result = run("completion", "tcsh")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
