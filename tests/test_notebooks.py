"""Notebooks: those of the docs, progress in a cell, and the stop button."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_runs import Recorder, data_file, fit, interrupt, reference

import airkit
from airkit.cli import notebook
from airkit.cli.progress import Lines

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            source = "".join(cell["source"])
            compile(source.partition("\n")[2] if source.startswith("%%") else source, path, "exec")
    assert len(NOTEBOOKS) == 3


# Progress


class Shown:
    """What a cell shows, and all that it has shown."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        output = [bundle]
        self.outputs.append(output)
        return SimpleNamespace(update=lambda bundle, raw: output.append(bundle))


@pytest.fixture(name="shell")
def _shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook's kernel, as far as it is asked."""
    shell = SimpleNamespace(kernel=object(), execution_count=1, shown=Shown())
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    display = SimpleNamespace(display=shell.shown.display)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shell


def test_one_output_of_a_cell_changes(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "INTERVAL", 0)
    listener = airkit.progress()
    listener.note("a <note>")
    for done in (1, 2):
        listener.progress("training", done, 2)
        listener.row({"step": done, "elbo": 12.34})
    listener.progress("evaluating", 3, 10)
    (output,) = shell.shown.outputs
    assert output[0]["text/plain"].endswith("a <note>")
    assert output[2]["text/plain"].startswith("training: 2 of 2, ELBO 12.3")
    assert 'value="3" max="10"' in output[-1]["text/html"]
    assert "a &lt;note&gt;" in output[-1]["text/html"]


def test_metrics_that_come_after_the_last_step_are_shown(shell: Any) -> None:
    listener = airkit.progress()
    listener.progress("training", 2, 2)
    listener.row({"step": 2, "elbo": 12.34})
    listener.row({"step": 2, "val_elbo": 12.0, "val_count_accuracy": 0.5})
    assert "ELBO 12.3, counted right 50.0 %" in shell.shown.outputs[0][-1]["text/plain"]


def test_another_cell_has_an_output_of_its_own(shell: Any) -> None:
    listener = airkit.progress()
    listener.progress("training", 1, 1)
    shell.execution_count = 2
    listener.progress("training", 1, 1)
    assert len(shell.shown.outputs) == 2


def test_a_fast_loop_is_not_slowed(shell: Any) -> None:
    listener = airkit.progress()
    for done in range(1, 1001):
        listener.progress("training", done, 1000)
    assert len(shell.shown.outputs[0]) < 20
    assert "1,000 of 1,000" in shell.shown.outputs[0][-1]["text/plain"]


def test_elsewhere_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert isinstance(airkit.progress(), Lines)
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace(execution_count=1))
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert isinstance(airkit.progress(), Lines), "IPython in a terminal"


def test_what_describe_returns_shows_itself() -> None:
    described = airkit.describe(reference())
    assert str(described).startswith("run folder ")
    assert "<th>step</th><td>23</td>" in described._repr_html_()


def test_a_stopped_training_says_how_to_go_on(tmp_path: Path) -> None:
    listener = Recorder(step4=interrupt)
    report = fit(tmp_path, listener=listener)
    assert (report.stopped, report.steps) == (True, 4)
    assert f"stopped at step 4 of {tmp_path}" in listener.notes[-1]
    assert "goes on" in listener.notes[-1]
    assert "--" not in listener.notes[-1], "no option of the command line"


@pytest.mark.slow
def test_the_stop_button_saves(tmp_path: Path) -> None:
    """In a real kernel, interrupted as Jupyter does."""
    from jupyter_client.manager import start_new_kernel  # noqa: PLC0415 - for this test alone

    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    manager, client = start_new_kernel(kernel_name="python3", env=where)
    told: list[str] = []

    def heard(message: Any) -> None:
        told.append(json.dumps(message["content"], default=str))
        if "training: " in told[-1] and not stopped.is_set():
            stopped.set()
            manager.interrupt_kernel()

    stopped = threading.Event()
    try:
        settings = {"train.steps": 10**6, "train.log_every": 10, "train.val_every": 10**6}
        call = f"airkit.train({str(data_file())!r}, {str(tmp_path / 'run')!r}, settings={settings}"
        client.execute_interactive(
            f"import airkit\nreport = {call}, listener=airkit.progress())\nprint(report.stopped)",
            timeout=300,
            output_hook=heard,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    text = "".join(told)
    assert "goes on from there" in text
    assert "True" in text
    assert airkit.describe(tmp_path / "run").facts["step"] > 0
