"""Shells complete commands and options, quickly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

COMPLETIONS = {
    "airkit tr": ["train"],
    "airkit comp": ["completion"],
    "airkit train --st": ["--steps"],
    "airkit eval --che": ["--checkpoint"],
    "airkit config s": ["show", "schema"],
    "airkit render --steps": [],
}
CODE = (
    "import sys, airkit.cli\n"
    "try: airkit.cli.run()\n"
    "except SystemExit: pass\n"
    "assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
)
"""Runs the command line, and looks at what it loaded."""


def _answer(typed: str, shell: str) -> str:
    """What the program answers the script of a shell."""
    asked = {
        "_AIRKIT_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": typed,
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    command = [sys.executable, "-c", CODE]
    environment = {**os.environ, **asked}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program(shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"_AIRKIT_COMPLETE=complete_{shell}" in script


def test_zsh_and_fish_show_the_help_too() -> None:
    purpose = "Train AIR, or resume a training."
    assert _answer("airkit tr", "fish") == f"train\t{purpose}\n"
    assert f'"train":"{purpose}"' in _answer("airkit tr", "zsh")


@pytest.mark.parametrize("typed", COMPLETIONS)
def test_the_program_completes(typed: str) -> None:
    assert _answer(typed, "bash").split() == COMPLETIONS[typed]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    program = tmp_path / "airkit"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m airkit "$@"\n')
    program.chmod(0o755)
    script = r"""
        source <(airkit completion bash)
        COMP_WORDS=(airkit config s) COMP_CWORD=2
        $(complete -p airkit | sed 's/.*-F \([^ ]*\).*/\1/') airkit
        printf '%s\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.split(), done.stderr) == (["show", "schema"], "")
