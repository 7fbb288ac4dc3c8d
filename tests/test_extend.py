"""The how-to on extending airkit, done as it stands: its files written, its commands run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs/how-to/extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'```python title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL))
COMMANDS = "".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
LEARNS = ("conv", "decoder", "concrete")
"""Runs that must count better than calling every canvas alike."""


@pytest.fixture(name="done", scope="module")
def _done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder after the page's commands, and all that they printed."""
    folder = tmp_path_factory.mktemp("extend")
    for name, body in FILES.items():
        (folder / name).write_text(body)
    commands = COMMANDS.replace("airkit ", f"{sys.executable} -m airkit ")
    commands = commands.replace("\npython ", f"\n{sys.executable} ")
    script = ["bash", "-euo", "pipefail", "-c", commands]
    found = subprocess.run(
        script, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stderr
    return folder, found.stdout


def test_every_kind_is_on_the_page() -> None:
    bases = "Guide", "Decoder", "Objective", "CountPrior", "DigitSource", "Measure", "Drawing"
    assert all(any(f"({base})" in body for body in FILES.values()) for base in bases)


@pytest.mark.slow
def test_the_examples_train_and_count(done: tuple[Path, str]) -> None:
    _, printed = done
    one_look = [float(each) for each in re.findall(r"accuracy, one look +([\d.]+) %", printed)]
    assert len(one_look) == len(LEARNS) + 1
    assert min(one_look) > 60  # every canvas called blank would be 37 %


@pytest.mark.slow
def test_the_other_examples_leave_what_they_say(done: tuple[Path, str]) -> None:
    folder, printed = done
    assert "missing:MissingInk" in printed
    assert list((folder / "runs/uniform/figures").glob("*.png"))
    assert (folder / "rings.h5").exists()
    assert "counted right" in printed
