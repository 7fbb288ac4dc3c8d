"""Charts of a paper's experiments: counting along training, other counts, the use of codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from airkit.config.schema import RenderConfig
from airkit.figures.charts import FONT, tidy
from airkit.figures.curves import Rows, curve_of
from airkit.figures.marks import FAINT, SLOTS, hexadecimal
from airkit.figures.page import DPI, POINTS, Paper, default_style
from airkit.figures.render import save
from airkit.system.files import replacing

Results = Sequence[Mapping[str, Any]]
_STYLE: Any = {"font.size": POINTS, "lines.linewidth": 1.1, "lines.markersize": 3}
_HEIGHT = 2.0  # inches


def counting(runs: Sequence[tuple[str, Rows]], path: Path, render: RenderConfig) -> Path:
    """Draw count accuracy on validation canvases against steps, a line for each training.

    Args:
        runs: the model of each, and its rows of metrics.
        path: the file.
        render: what the figure is drawn for.
    """
    with _written(path, render, 1) as (axes,):
        for model, rows in runs:
            colour = _colour(model, [name for name, _ in runs])
            curve = curve_of(model, colour, rows, "val_count_accuracy")
            shares = [100 * value for value in curve.values]
            axes.plot(curve.steps, shares, "o-", color=colour, label=model)
        _name(axes, "validation canvases counted right, %", "steps")
        _logarithmic(axes)
    return path


def generalisation(
    results: Results, trained: Mapping[str, Sequence[int]], path: Path, render: RenderConfig
) -> Path:
    """Draw the share counted right by true count, counts never trained on as hollow points.

    Args:
        results: rows with ``trained``, a name of ``trained``, and ``digits``; others are left out.
        trained: the counts trained on, by name.
        path: the file.
        render: what the figure is drawn for.
    """
    rows = [row for row in results if "trained" in row]
    models = _models(rows)
    with _written(path, render, len(trained)) as panels:
        for axes, (name, known) in zip(panels, trained.items(), strict=True):
            for row in (row for row in rows if row["trained"] == name):
                shift = 0.2 * (models.index(row["model"]) - (len(models) - 1) / 2)
                place = row["digits"] + shift + 0.06 * row["seed"]
                _point(axes, place, row, models, hollow=row["digits"] not in known)
            _name(axes, f"trained on {name}: right, %", "digits")
            axes.set_xticks(range(4))
            axes.set_xlim(-0.5, 3.5)
    return path


def codes(results: Results, path: Path, render: RenderConfig) -> Path:
    """Draw the accuracy of classifiers against their labels, for each task.

    Args:
        results: rows with ``task``, ``labels`` and ``commonest``; others are left out.
        path: the file.
        render: what the figure is drawn for.
    """
    rows = [row for row in results if "task" in row]
    models, tasks = _models(rows), list(dict.fromkeys(row["task"] for row in rows))
    with _written(path, render, len(tasks)) as panels:
        for axes, task in zip(panels, tasks, strict=True):
            of_task = [row for row in rows if row["task"] == task]
            for key in dict.fromkeys((row["model"], row["seed"]) for row in of_task):
                own = [row for row in of_task if (row["model"], row["seed"]) == key]
                labels, shares = zip(
                    *((row["labels"], 100 * row["share"]) for row in own), strict=True
                )
                axes.plot(labels, shares, color=_colour(key[0], models))
                for row in own:
                    _point(axes, row["labels"], row, models)
            chance = 100 * max(row["commonest"] for row in of_task)
            axes.axhline(chance, color=hexadecimal(FAINT), linewidth=0.7, linestyle=":")
            _name(axes, f"{task}: right, %", "labels")
            _logarithmic(axes, sorted({row["labels"] for row in of_task}))
    return path


def _models(rows: Results) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))


def _colour(model: str, models: Sequence[str]) -> str:
    return hexadecimal(SLOTS[list(dict.fromkeys(models)).index(model) % len(SLOTS)])


def _point(
    axes: Axes, place: float, row: Mapping[str, Any], models: Sequence[str], *, hollow: bool = False
) -> None:
    """Draw the share of a row with its interval."""
    colour, share = _colour(row["model"], models), row["share"]
    error = [[100 * abs(share - end)] for end in row["interval"]]
    look: dict[str, Any] = {"markerfacecolor": "white" if hollow else colour, "elinewidth": 0.7}
    axes.errorbar(
        [place], [100 * share], yerr=error, fmt="o", color=colour, label=row["model"], **look
    )


def _name(axes: Axes, title: str, below: str) -> None:
    """Name the axes, that of shares in per cent."""
    tidy(axes, title, below, unit=POINTS / FONT)
    axes.set_ylim(-3, 103)


def _logarithmic(axes: Axes, ticks: Sequence[int] = ()) -> None:
    """Make the horizontal axis logarithmic, with whole numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(ticks) if ticks else LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _legend(figure: Figure) -> None:
    """Name each model once, below the charts."""
    once: dict[str, Any] = {}
    for handle, label in zip(*figure.axes[-1].get_legend_handles_labels(), strict=True):
        once.setdefault(label, handle)
    look: dict[str, Any] = {"ncols": len(once), "frameon": False}
    figure.legend([*once.values()], [*once], loc="outside lower center", **look)


@contextmanager
def _written(path: Path, render: RenderConfig, panels: int) -> Iterator[list[Axes]]:
    """Yield charts side by side, and write them as a figure of the width that ``render`` says."""
    paper = Paper.of(render)
    width = paper.width * paper.unit / DPI
    with default_style(), rc_context(_STYLE):
        figure = Figure(figsize=(width, _HEIGHT), dpi=paper.dpi, layout="constrained")
        yield list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])
        _legend(figure)
        with replacing(path) as unfinished:
            save(figure, unfinished, path.suffix[1:])
