"""Tables of what was measured beside the paper: counts never seen, codes, a linear probe."""

from __future__ import annotations

from typing import Any

from speed_tables import Table

from airkit.system.statistics import wilson


def unseen(rows: list[dict[str, Any]]) -> Table:
    """Shares counted right by true count, all seeds of a model on the same canvases in one row."""
    model = ("preset", "trained on", "tested on", "digits", "in training", "canvases")
    heads = (*model, "one look", "16 looks", "95 % interval of the worst")
    table, groups = [], dict.fromkeys((_trained_on(row), _side(row["canvas"])) for row in rows)
    for trained, side in groups:
        runs = [row for row in rows if (_trained_on(row), _side(row["canvas"])) == (trained, side)]
        if "refused" in runs[0]:
            table.append((*trained, side, "any", "", "", *["refused"] * 2, ""))
            continue
        for counts in zip(*(run["counts"] for run in runs), strict=True):
            seen = counts[0]["digits"] in runs[0]["trained_on"]["counts"]
            row = (str(counts[0]["digits"]), "yes" if seen else "no", str(counts[0]["canvases"]))
            table.append((*trained, side, *row, *_shares(counts, looks=runs[0]["looks"])))
    return heads, table


def _trained_on(row: dict[str, Any]) -> tuple[str, str]:
    """Preset of a model, and what its training saw."""
    *others, last = map(str, row["trained_on"]["counts"])
    canvases = _side(row["trained_on"]["canvas"])
    return row["preset"], f"{', '.join(others)} and {last} digits, {canvases}"


def _side(pixels: int) -> str:
    return f"{pixels} px"


def _shares(counts: tuple[dict[str, Any], ...], *, looks: int) -> tuple[str, str, str]:
    """Shares counted right of each seed, and Wilson's interval of the least with most looks."""
    one, best = (
        ", ".join(f"{100 * count[key] / count['canvases']:.1f}" for count in counts) + " %"
        for key in ("right_one_look", "right")
    )
    worst = min(counts, key=lambda count: count["right"])
    low, high = wilson(worst["right"], worst["canvases"])
    return one, best if looks > 1 else "", f"{100 * low:.1f} to {100 * high:.1f} %"


def codes(every: list[dict[str, Any]]) -> Table:
    """Accuracy on the sum and the order of two digits, seed by seed, by labels and inputs."""
    tasks, labels = (list(dict.fromkeys(row[key] for row in every)) for key in ("task", "labels"))
    rows = []
    for task in tasks:
        for count in labels:
            runs = [row for row in every if (row["task"], row["labels"]) == (task, count)]
            apart = [[row for row in runs if row["inputs"] == name] for name in ("codes", "pixels")]
            known = f"{runs[0]['commonest']:.1%}"
            rows.append((task, f"{runs[0]['canvases']:,}", *map(_accuracies, apart), known))
    return ("task", "labels", "codes", "pixels", "commonest class"), rows


def _accuracies(runs: list[dict[str, Any]]) -> str:
    """Accuracies of all seeds, with a star where the limit on steps ended the training."""
    ends = ("" if row["validation"]["stopped_early"] else "*" for row in runs)
    return ", ".join(f"{row['accuracy']:.1%}{end}" for row, end in zip(runs, ends, strict=True))


def probe(every: list[dict[str, Any]]) -> Table:
    """Digits named by a linear probe, every input and seed."""
    heads = ("read from", "numbers", "seed", "matched", "right", "95 % interval", "right of all")
    rows = [
        (
            row["inputs"],
            str(row["features"]),
            str(row["seed"]),
            f"{row['coverage']:.1%}",
            f"{row['accuracy']:.1%}",
            "{:.1%} to {:.1%}".format(*row["accuracy_interval"]),
            f"{row['right_of_all']:.1%}",
        )
        for row in sorted(every, key=lambda row: str(row["inputs"]) != "z_what")
    ]
    return heads, rows
