"""Tables of what the benchmarks measured, from ``benchmarks/results``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from paper_tables import codes, probe, unseen
from speed_tables import TABLES, Table, commands, of_preset

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
Part = Callable[[], Table]
ON_GPU = "speed-rivals", "speed-scaling", "speed-lines", "speed-evaluation"
"""Tables of speed that a GPU has too."""


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _measures(row: dict[str, Any]) -> list[str]:
    """Those measures of a run that a benchmark kept, in the order of their columns."""
    formats = {
        "count_accuracy_one_look": ".2%",
        "count_accuracy": ".2%",
        "mean_iou": ".3f",
        "ap50": ".3f",
        "elbo": ".1f",
        "log_likelihood_bound": ".1f",
    }
    return [format(row[name], how) for name, how in formats.items() if name in row]


def first_run() -> dict[str, Any]:
    """The measures of the README's main commands, without calibration, trust and nulls."""
    measures: dict[str, Any] = _read("first_run")["eval"]["measures"]
    apart = "calibration", "calibration_one_look", "trust"
    return {
        name: value for name, value in measures.items() if name not in apart and value is not None
    }


def every_run() -> Table:
    """Every seed of every sweep."""
    sweeps = _read("success")["sweeps"]
    heads = ("preset", "seed", "one look", "16 looks", "IoU", "AP50", "ELBO", "IWAE")
    return heads, [
        (preset, str(row["seed"]), *_measures(row))
        for preset, sweep in sweeps.items()
        for row in sweep["rows"]
    ]


def on_a_gpu() -> Table:
    """Every training on a GPU."""
    heads = ("preset", "seed", "training", "one look", "16 looks", "IoU", "AP50", "ELBO", "IWAE")
    return heads, [
        (row["preset"], str(row["seed"]), f"{row['train_seconds']:.0f} s", *_measures(row))
        for row in _read("accuracy_gpu")["rows"]
    ]


def worst() -> Table:
    """The worst and the best seed of each preset."""
    rows = []
    for preset, sweep in _read("success")["sweeps"].items():
        spans = (_span(sweep["rows"], key) for key in ("count_accuracy_one_look", "count_accuracy"))
        rows.append((preset, str(sweep["attempted"]), *spans))
    return ("preset", "seeds", "one look", "16 looks"), rows


def calibrations() -> Table:
    """Whether the probabilities of counts are right, over the seeds of each sweep."""
    heads = ("preset", "calibration error", "log score, of a constant's", "Brier, of a constant's")
    rows = []
    for preset, sweep in _read("success")["sweeps"].items():
        every = [row["calibration"] for row in sweep["rows"] if "calibration" in row]
        errors = sorted(each["error"] for each in every)
        told = f"{errors[0]:.4f} to {errors[-1]:.4f}, {median(errors):.4f} the median"
        rows.append((preset, told, *(_of_constant(every, name) for name in ("log_score", "brier"))))
    return heads, rows


def _of_constant(every: list[dict[str, Any]], name: str) -> str:
    """A score as a multiple of that of a constant probability, where some count is wrong."""
    some = [each[name] / each[f"{name}_constant"] for each in every if each[f"{name}_constant"] > 0]
    better = f"better in {sum(it < 1 for it in some)} of {len(some)}"
    return f"{min(some):.2f} to {max(some):.2f}, {median(some):.2f} the median; {better}"


def _span(runs: list[dict[str, Any]], key: str) -> str:
    """Least and greatest of a share over runs."""
    shares = [row[key] for row in runs]
    return f"{min(shares):.2%}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{max(shares):.2%}"


def estimators() -> Table:
    """Every run of every guide with every estimator."""
    heads = ("guide and estimator", "seed", "steps", "seconds", "one look", "IoU", "ELBO", "IWAE")
    rows = [
        (
            row["name"],
            str(row["seed"]),
            f"{row['curve'][-1][0]:,}",
            f"{row['curve'][-1][1]:,.0f}",
            *_measures(row),
        )
        for row in _read("estimators")["rows"]
    ]
    return heads, rows


def success() -> Table:
    """How often each preset's training reaches its threshold, over all seeds of its sweep."""
    heads = ("preset", "at", "successes", "95 % interval", "failed", "worst", "median", "training")
    rows = []
    for preset, sweep in _read("success")["sweeps"].items():
        low, high = sweep["success_interval"]
        rows.append(
            (
                preset,
                f"{sweep['threshold']:.0%}",
                f"{sweep['successes']} of {sweep['attempted']}",
                f"{low:.0%} to {high:.0%}",
                str(sweep["failed"]),
                f"{sweep['worst']:.2%}, seed {sweep['worst_seed']}",
                f"{sweep['median']:.2%}",
                f"{sweep['median_train_seconds']:.0f} s",
            )
        )
    return heads, rows


def supervised() -> Table:
    """Nets that were trained on true counts, and all airkit runs beside them."""
    rows = _read("supervised")["rows"]
    heads = "way", "labels", "weights", "one pass", "all passes"
    nets = [
        (
            row["way"],
            "60,000 counts",
            f"{row['weights']:,}",
            f"{row['count_accuracy_one_look']:.2%}",
            f"{row['count_accuracy']:.2%}",
        )
        for row in rows
        if "weights" in row
    ]
    ours = [row for row in rows if "weights" not in row]
    names = "count_accuracy_one_look", "count_accuracy"
    shares = [[row[name] for row in ours] for name in names]
    told = [f"{median(each):.2%} the median, {min(each):.2%} the worst" for each in shares]
    return heads, [*nets, (f"airkit, {len(ours)} seeds", "none", "", *told)]


def pyro_speed() -> Table:
    """Milliseconds a step beside the plain reading's."""
    found = _read("pyro_speed")
    rows = [
        (name, f"{each:.0f} ms", f"{found['times_faster'][name]:.1f}")
        for name, each in found["milliseconds"].items()
    ]
    return ("", "a step", "times as fast"), rows


def variance() -> Table:
    """Variance of the presence gradient over exact's, at every stop, the mean over seeds."""
    rows = _read("gradient_variance")["rows"]
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    table = []
    for step in sorted({row["step"] for row in rows}):
        found = {
            name: fmean(
                row["variance"] for row in rows if (row["step"], row["estimator"]) == (step, name)
            )
            for name in names
        }
        ratios = [f"{found[name] / found['exact']:,.0f}" for name in names[1:]]
        table.append((f"{step:,}", f"{found['exact']:.3g}", *ratios))
    return ("step", "exact, nats²", *(f"{name}, times" for name in names[1:])), table


def making() -> Table:
    """Canvases a second on one core, beside the loop's."""
    rows = [
        (row["what"], f"{row['canvases_per_second']:,}", f"{row['times']:.1f}")
        for row in _read("generator")["making"]
    ]
    return ("", "canvases a second", "times as fast"), rows


def writing() -> Table:
    """Whole files, by canvases and workers."""
    heads = ("canvases", "workers", "seconds", "canvases a second", "memory", "of a worker")
    rows = [
        (
            f"{row['canvases']:,}",
            str(row["workers"]),
            f"{row['seconds']:.1f}",
            f"{row['canvases_per_second']:,}",
            f"{row['peak_megabytes']} MB",
            f"{row['peak_megabytes_of_a_worker']} MB" if row["workers"] > 1 else "",
        )
        for row in _read("generator")["writing"]
    ]
    return heads, rows


def reading() -> Table:
    """Canvases and megabytes a second that are read."""
    rows = [
        (row["what"], f"{row['canvases_per_second']:,}", f"{row['megabytes_per_second']:,}")
        for row in _read("generator")["reading"]
    ]
    return ("", "canvases a second", "MB a second"), rows


def streaming() -> Table:
    """Memory of trainings, by canvases."""
    rows = [
        (
            f"{row['canvases']:,}",
            f"{row['image_megabytes']:,} MB",
            f"{row['in_memory']:,}",
            f"{row['peak_megabytes']:,} MB",
        )
        for row in _read("streaming")["trainings"]
    ]
    return ("canvases", "their images", "in memory at a time", "peak memory"), rows


def streaming_step() -> Table:
    """A step in memory and from the file."""
    step = _read("streaming")["step"]
    names = {"memory": "in memory", "file": "from the file", "reading": "reading alone, the mean"}
    return ("a step", "CPU time"), [(text, f"{step[key]:.2f} ms") for key, text in names.items()]


def batches() -> Table:
    """Every batch size and learning rate, for the same canvases seen."""
    rows = [
        (
            f"{row['batch']:,}",
            f"{row['steps']:,}",
            f"{row['learning_rate']:g}{' = 0.002 √b' if row['root'] else ''}",
            str(row["seed"]),
            *(_measures(row) or ("failed", "")),
        )
        for row in _read("batches")["rows"]
    ]
    return ("batch", "steps", "learning rate", "seed", "one look", "ELBO"), rows


def scenes() -> Table:
    """Scenes beyond digits, seed by seed, beside the classical way."""
    every, rows = _read("scenes")["rows"], []
    for scene in dict.fromkeys(row["scene"] for row in every):
        (known,) = (row for row in every if (row["scene"], row["way"]) == (scene, "classical"))
        runs = [row for row in every if (row["scene"], row["way"]) == (scene, "airkit")]
        keys = "count_accuracy_one_look", "count_accuracy", "foreground_ari"
        shares = (", ".join(f"{100 * row[key]:.1f}" for row in runs) + " %" for key in keys[:2])
        ari = ", ".join(f"{row[keys[2]]:.3f}" for row in runs)
        longest = f"{max(row['train_seconds'] for row in runs):.0f} s"
        rows.append((scene, f"{known['count_accuracy']:.1%}", *shares, ari, longest))
    heads = ("scene", "classical, labels", "one look", "16 looks", "foreground ARI", "training")
    return heads, rows


def few_pictures() -> Table:
    """Trainings on few pictures, as they are and turned and mirrored, seed by seed."""
    cells: dict[tuple[str, int], dict[bool, list[dict[str, Any]]]] = {}
    for row in _read("few_pictures")["rows"]:
        ways = cells.setdefault((row["kind"], row["pictures"]), {False: [], True: []})
        ways[row["augment"]].append(row)
    rows = []
    for (kind, pictures), ways in sorted(cells.items()):
        shares = [
            ", ".join(f"{100 * row[key]:.1f}" for row in ways[augment]) + " %"
            for key in ("count_accuracy_one_look", "count_accuracy")
            for augment in (False, True)
        ]
        rows.append((kind, str(pictures), *shares))
    looks = "one look", "turned, mirrored", "16 looks", "turned, mirrored"
    return ("pictures", "to train on", *looks), rows


def nuclei() -> Table:
    """Nuclei of real micrographs, seed by seed, beside the classical way."""
    heads, rows = ("pictures", "counted by", "error of counts", "bias", "within a tenth"), []
    for row in _read("nuclei")["rows"]:
        by = row["way"] if row["way"] == "classical" else f"airkit, seed {row['way']}"
        pictures = f"{row['set']}: {row['pictures']['test']}, of {row['mean_count']:.1f} nuclei"
        shares = f"{row['error']:.1%}", f"{row['bias']:+.1%}", f"{row['within_a_tenth']:.0%}"
        rows.append((pictures, by, *shares))
    return heads, rows


def large_pictures() -> Table:
    """One large picture at one look, on local canvases and on whole ones."""
    heads = ("canvas, digits", "a canvas", "painted whole", "peak memory", "painted whole", "right")
    rows = []
    for row in _read("large_pictures")["rows"]:
        local, whole = row["local"], row["whole"]
        seconds, peak = "seconds_a_canvas", "peak_megabytes"
        rows.append(
            (
                f"{row['side']} px, 0 to {row['digits']}",
                *(f"{each[seconds]:.2f} s" for each in (local, whole)),
                *(f"{each[peak]:,} MB" for each in (local, whole)),
                f"{local['right']} of {local['canvases']}",
            )
        )
    return heads, rows


def provenance() -> Table:
    """What every result was measured with: command, day, hardware, versions."""
    rows = []
    for path in sorted(RESULTS.glob("*.json")):
        content = _read(path.stem)
        parts = [content] if "command" in content else content.values()
        rows += [_origin(part) for part in parts]
    return ("command", "date", "hardware", "versions"), rows


def _origin(part: dict[str, Any]) -> tuple[str, ...]:
    commands = part["command"] if isinstance(part["command"], list) else [part["command"]]
    versions = ", ".join(f"{name} {number}" for name, number in part["versions"].items())
    told = "<br>".join(f"`{command}`" for command in commands)
    told += f", replaced by `{part['now']}`" if "now" in part else ""
    return told, part.get("date") or "not kept", part["hardware"], versions


def _of_speed(table: Callable[[Any], Table], name: str = "speed") -> Part:
    """A table of ``benchmarks/speed.py``."""
    return lambda: table(_read(name))


PARTS: dict[str, Part] = {
    "measured": every_run,
    "worst": worst,
    "estimators": estimators,
    "success": success,
    "calibrations": calibrations,
    "supervised": supervised,
    "pyro-speed": pyro_speed,
    "variance": variance,
    "batches": batches,
    "codes": lambda: codes(_read("codes")["rows"]),
    "probe": lambda: probe(_read("probe")["rows"]),
    "scenes": scenes,
    "few-pictures": few_pictures,
    "nuclei": nuclei,
    "making": making,
    "streaming": streaming,
    "streaming-step": streaming_step,
    "writing": writing,
    "reading": reading,
    "extrapolation": lambda: unseen(_read("extrapolation")["rows"]),
    "interpolation": lambda: unseen(_read("interpolation")["rows"]),
    "large-pictures": large_pictures,
    "provenance": provenance,
    **{name: _of_speed(table) for name, table in TABLES.items()},
    "quick": lambda: of_preset(_read("preset")["quick"]),
    "thorough": lambda: of_preset(_read("preset")["thorough"]),
    "first-run-times": _of_speed(commands, "first_run"),
    "gpu-measured": on_a_gpu,
    **{f"gpu-{name}": _of_speed(TABLES[name], "speed_gpu") for name in ON_GPU},
}
"""Tables by the word that pages ask for them with."""
