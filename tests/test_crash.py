"""The crash harness, as far as there is time for it here; ``nox -s crash`` runs more of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "crash.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_three_cases_are_clean() -> None:
    """One of each command and of each signal."""
    command = [sys.executable, str(TOOL), "--cases", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("3 of 3 clean ("), done.stdout
    assert done.returncode == 0
