"""Tables of how fast airkit is, from what ``benchmarks/speed.py`` measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Table = tuple[Sequence[str], Iterable[Sequence[str]]]
Found = dict[str, Any]
"""``benchmarks/results/speed.json``."""


def stages(found: Found) -> Table:
    """Milliseconds by stage, a column for each number of threads and precision."""
    columns = found["stages"]["found"]
    rows = [
        (stage, *(f"{each['stages_ms'][stage]:.2f}" for each in columns))
        for stage in columns[0]["stages_ms"]
    ]
    sums = ("all stages", *(f"{each['sum_of_stages_ms']:.1f}" for each in columns))
    steps = ("a step, not watched", *(f"{each['step_ms']:.1f}" for each in columns))
    return ("ms", *map(_where, columns)), [*rows, sums, steps]


def arithmetic(found: Found) -> Table:
    """What a step computes, and what its time goes to."""
    lines: dict[str, Callable[[Found], str]] = {
        "steps a second": lambda each: f"{each['steps_per_second']:.0f}",
        "GFLOP a step": lambda each: f"{each['gflop']:.2f}",
        "MB moved a step": lambda each: f"{each['megabytes']:.0f}",
        "operations a step": lambda each: f"{each['operations']:,}",
        "peak, GFLOP a second": lambda each: f"{each['peak_gflop_per_second']:.0f}",
        "of the peak, the step": lambda each: f"{each['share_of_peak']:.0%}",
        "of the peak, its products": lambda each: f"{each['share_of_peak_in_products']:.0%}",
        "time in products": lambda each: f"{each['share_products']:.0%}",
        "time in other operations": lambda each: f"{each['share_other_operations']:.0%}",
        "time in Python and dispatch": lambda each: f"{each['share_overhead']:.0%}",
        "an empty operation": lambda each: f"{each['empty_operation_us']:.1f} µs",
    }
    columns = found["stages"]["found"]
    rows = [(name, *map(line, columns)) for name, line in lines.items()]
    return ("", *map(_where, columns)), rows


def _where(column: dict[str, Any]) -> str:
    if column["device"] != "cpu":
        return f"{column['device']}, {column['precision']}"
    threads = f"{column['threads']} thread{'s' * (column['threads'] > 1)}"
    return f"{threads}, {column['precision']}"


def rivals(found: Found) -> Table:
    """Milliseconds a step beside the plain reading's, and beside the base's."""
    rows = [
        (
            row["rival"],
            f"{row['step_ms']:.1f} ms",
            f"{row['times']:.2f}",
            row["beside"],
            "{:.2f} to {:.2f}".format(*row["spread"]),
        )
        for row in found["rivals"]["found"]
    ]
    return ("", "a step", "times as fast", "as", "middle half"), rows


def training(found: Found) -> Table:
    """Time to the accuracy, every seed."""
    rows = [
        (
            row["who"],
            str(row["seed"]),
            f"{row['seconds']:.1f} s",
            f"{row['steps']:,}",
            f"{row['accuracy']:.2%}",
        )
        for row in found["training"]["found"]["rows"]
    ]
    return ("", "seed", "time", "steps", "count accuracy"), rows


def start(found: Found) -> Table:
    """Time to the first step."""
    starts = found["training"]["found"]["start_seconds"]
    return ("", "seconds"), [(who, f"{each:.2f}") for who, each in starts.items()]


def scaling(found: Found) -> Table:
    """Milliseconds along every axis, and a unit."""
    rows = [
        (names, f"{row[axis]:,}", f"{row['step_ms']:.1f}", f"{row['ms_a_unit']:.3g}")
        for axis, names in AXES.items()
        for row in found["scaling"]["found"][axis]["points"]
    ]
    return ("what varies", "", "ms a step", "ms a unit"), rows


def lines(found: Found) -> Table:
    """The line through each axis's points."""
    rows = [
        (
            names,
            f"{line['intercept_ms']:.2f} ms",
            f"{line['slope_ms']:.3g} ms",
            f"{line['furthest_off']:.0%}",
        )
        for axis, names in AXES.items()
        for line in (found["scaling"]["found"][axis]["line"],)
    ]
    return ("what varies", "at nothing", "a unit more", "furthest off"), rows


AXES = {
    "slots": "slots",
    "side": "canvas side, unit 1,000 pixels",
    "batch": "canvases a batch",
}


def evaluation(found: Found) -> Table:
    """Canvases a second."""
    rows = [
        (row["what"], f"{row['canvases_per_second']:,.0f}") for row in found["evaluation"]["found"]
    ]
    return ("", "canvases a second"), rows


def of_preset(found: Found) -> Table:
    """What a preset takes and how it counts, every seed; ``benchmarks/preset.py``."""
    rows = [
        (
            str(row["seed"]),
            f"{row['processor_seconds']:.0f} s",
            f"{row['seconds']:.0f} s",
            f"{row['load_before']:.1f}",
            f"{row['count_accuracy_one_look']:.2%}",
        )
        for row in found["rows"]
    ]
    heads = (
        "seed",
        "processor time",
        "on the clock",
        "load of the machine",
        "one look, 10,000 canvases",
    )
    return heads, rows


def commands(found: Found) -> Table:
    """What each command of the README takes; ``benchmarks/first_run.py``."""
    took = found["times"]["processor_seconds"].items()
    return ("command", "processor time"), [(f"`airkit {verb}`", f"{it:.0f} s") for verb, it in took]


TABLES: dict[str, Callable[[Found], Table]] = {
    "speed-stages": stages,
    "speed-arithmetic": arithmetic,
    "speed-rivals": rivals,
    "speed-training": training,
    "speed-start": start,
    "speed-scaling": scaling,
    "speed-lines": lines,
    "speed-evaluation": evaluation,
}
"""Tables by the word that pages ask for them with."""
