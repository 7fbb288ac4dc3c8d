"""How fast airkit is: a step and its parts, beside rivals, by size; trainings; evaluation.

    python benchmarks/speed.py [--only stages rivals scaling evaluation training] [--quick]
        [--data FILE] [--source FOLDER] [--base SRC] [--pyro DIR] [--device cpu] [--threads 2]
        [--out FILE]

Needs pyro-ppl. Canvases are those of ``--data``, or are made from ``--source`` (``strokes``; or
``mnist``, or a folder in MNIST's layout). ``--base`` is the source tree of another airkit, such as
an older checkout's ``src``: it takes turns with this one, in training steps and in trainings.
``--pyro`` is a checkout of Pyro, whose own example (``examples/air``) then takes turns as well.
``benchmarks/results/speed.json`` keeps what was printed, section by section, so that they can
be measured apart. Everything is measured in processes of its own, rivals in turns, so that
whatever else the machine does slows all; what is kept are medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import provenance
import training_time
from rivals import EXAMPLE, PLAIN, REFERENCE
from worker import OURS, Worker

RESULTS = Path(__file__).parent / "results" / "speed.json"
PRECISIONS = "float32", "bfloat16"
ON_GPU = "tf32", "no CUDA graph", "on the CPU"
"""What else there is to compare on a GPU."""
ACCURATE = 0.98
Rival = tuple[str, Path]
"""What it is, as the worker calls it, and the source tree that it is from."""
Trees = dict[str, tuple[Path, Path]]
"""Source trees and the data files that they read, by name."""
Section = Callable[[argparse.Namespace, Path], Any]


def main() -> None:
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or made(args, Path(folder) / "data.h5")
        for name in args.only:
            began = time.perf_counter()
            found = SECTIONS[name](args, data)
            save(args, name, found)
            print(f"({name}: {time.perf_counter() - began:.0f} s)\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="a trial of every section, no measure")
    parser.add_argument("--data", type=Path, help="a data file; not for the base")
    parser.add_argument("--source", default="strokes", help="as data.source")
    parser.add_argument(
        "--base", type=Path, help="the source tree of another airkit, as ../old/src"
    )
    parser.add_argument("--pyro", type=Path, help="a checkout of github.com/pyro-ppl/pyro")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="of all but stages on a CPU")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.base and not (args.base / "airkit").is_dir():
        parser.error(f"--base {args.base}: a folder that holds the package airkit is expected")
    if args.base and args.base.resolve() == OURS.resolve():
        parser.error(f"--base {args.base}: that is the airkit which is measured")
    if args.pyro and not (args.pyro / "examples" / "air" / "air.py").is_file():
        parser.error(f"--pyro {args.pyro}: a folder with examples/air/air.py is expected")
    return args


def on_gpu(args: argparse.Namespace) -> bool:
    return str(args.device).startswith("cuda")


def made(args: argparse.Namespace, path: Path, source: Path = OURS) -> Path:
    """A data file of the default preset, or of fewer canvases."""
    sizes = ("--train", "2000", "--val", "200") if args.quick else ()
    given = ("--preset", "default", "--source", args.source, "--test", "0", *sizes)
    return training_time.make_data(given, path, source)


def save(args: argparse.Namespace, name: str, found: Any) -> None:
    """Keep a section beside the others, with what it was measured on."""
    kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    trees = " --base SRC" * bool(args.base) + " --pyro DIR" * bool(args.pyro)
    digits = "the file given" if args.data else Path(args.source).name
    kept[name] = {
        **provenance.note(
            f"speed.py --only {name}{trees}"
            + f" --device {args.device}" * on_gpu(args)
            + " --quick" * args.quick,
            *("torch", "pyro-ppl"),
            how=f"threads: {args.threads}" if name != "stages" or on_gpu(args) else "",
            device=args.device,
        ),
        "digits": digits,
        "found": rounded(found),
    }
    args.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """With four digits that count."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def stages(args: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    """A step by stage: on one thread of the CPU and on two, or on a GPU."""
    size = {"steps": 3, "rounds": 1, "seconds": 0.2} if args.quick else {
        "steps": 20, "rounds": 10, "seconds": 3}  # fmt: skip
    places = [(args.device, args.threads)] if on_gpu(args) else [("cpu", 1), ("cpu", 2)]
    rows = []
    for device, threads in places[: 1 if args.quick else None]:
        with Worker("stages", threads) as worker:
            for precision in PRECISIONS:
                row = worker.ask(data=str(data), precision=precision, device=device, **size)
                rows.append(row)
                print_stages(row)
    return rows


def print_stages(row: dict[str, Any]) -> None:
    print(
        f"{row['device']}, threads: {row['threads']}, {row['precision']}: {row['step_ms']:.2f} ms "
        f"a step, {row['steps_per_second']:.0f} steps/s, stages add up to "
        f"{row['sum_of_stages_ms']:.2f} ms"
    )
    for stage, each in row["stages_ms"].items():
        print(f"    {stage:<12} {each:7.2f} ms {each / row['sum_of_stages_ms']:6.1%}")
    print(
        f"  {row['gflop']:.2f} GFLOP in {row['products']} products, {row['megabytes']:.0f} MB "
        f"moved by {row['operations']} operations; {row['share_of_peak']:.1%} of the peak, "
        f"{row['peak_gflop_per_second']:.0f} GFLOP/s ({row['share_of_peak_in_products']:.1%} in "
        "the products)\n"
        f"  products {row['share_products']:.1%}, other operations "
        f"{row['share_other_operations']:.1%}, Python and dispatch {row['share_overhead']:.1%}; "
        f"an empty operation {row['empty_operation_us']:.2f} us",
        flush=True,
    )


def rivals(args: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    """Training steps in turns, beside the plain reading's, Pyro's example's and the base's."""
    times = in_turns(args, data)
    pairs = [(each, (PLAIN, OURS)) for each in times]
    pairs += [((name, OURS), (EXAMPLE, OURS)) for name in PRECISIONS]
    pairs += [((name, OURS), (name, args.base)) for name in PRECISIONS]
    pairs += [(("float32", OURS), (REFERENCE, OURS))]
    rows = [
        {"rival": called(own), "beside": called(other), **compared(times[own], times[other])}
        for own, other in pairs
        if times.get(own) and times.get(other)
    ]
    for row in rows:
        low, high = row["spread"]
        print(
            f"{row['rival']:<18} {row['step_ms']:7.2f} ms a step, {row['times']:5.2f} times "
            f"as fast as {row['beside']} ({low:.2f} to {high:.2f})",
            flush=True,
        )
    return rows


def in_turns(args: argparse.Namespace, data: Path) -> dict[Rival, list[list[float]]]:
    """Milliseconds of the steps of every block of every rival."""
    steps, rounds = (3, 1) if args.quick else (20, 12)
    ours = *PRECISIONS, REFERENCE, *(ON_GPU if on_gpu(args) else ())
    given = [(PLAIN, OURS), *((name, OURS) for name in ours)]
    if args.pyro:
        given.append((EXAMPLE, OURS))
    if args.base:
        given += [(name, args.base) for name in PRECISIONS]
    times: dict[Rival, list[list[float]]] = {each: [] for each in given}
    request = {
        "data": str(data),
        "device": args.device,
        "steps": steps,
        "checkout": str(args.pyro or ""),
    }
    with ExitStack() as stack:
        workers = {
            (name, source): stack.enter_context(Worker("rivals", args.threads, source))
            for name, source in given
        }
        for first in range(0, rounds * steps, steps):
            for (name, source), worker in workers.items():
                block = worker.ask(rival=name, first=first, **request)
                if block is not None:
                    times[name, source].append(block)
    return times


def called(rival: Rival) -> str:
    name, source = rival
    if name in (PLAIN, EXAMPLE):
        return name
    return f"{'airkit' if source == OURS else 'base'}, {name}"


def compared(blocks: list[list[float]], others: list[list[float]]) -> dict[str, Any]:
    """Milliseconds, and how many times as fast as blocks side by side: median and quartiles."""
    ratios = sorted(median(other) / median(own) for own, other in zip(blocks, others, strict=True))
    step = median(each for block in blocks for each in block)
    quarter = len(ratios) // 4
    spread = ratios[quarter], ratios[-1 - quarter]
    return {"step_ms": step, "times": median(ratios), "spread": spread}


def scaling(args: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Steps by slots, canvas side and batch."""
    size = {"seconds": 0.05, "rounds": 1} if args.quick else {"seconds": 0.5, "rounds": 4}
    with Worker("scaling", args.threads) as worker:
        found: dict[str, Any] = worker.ask(
            what="scaling", device=args.device, quick=args.quick, **size
        )
    for axis, each in found.items():
        for row in each["points"]:
            print(f"{axis:<6} {row[axis]:>5} {row['step_ms']:9.2f} ms a step, "
                  f"{row['ms_a_unit']:8.3f} a unit")  # fmt: skip
        line = each["line"]
        print(f"  {line['intercept_ms']:.2f} ms + {line['slope_ms']:.4f} ms a unit, "
              f"at most {line['furthest_off']:.0%} off", flush=True)  # fmt: skip
    return found


def evaluation(args: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    """Canvases a second."""
    size = {"seconds": 1.0, "rounds": 5, "steps": 600}
    if args.quick:
        size = {"seconds": 0.05, "rounds": 1, "steps": 5}
    with Worker("scaling", args.threads) as worker:
        rows: list[dict[str, Any]] = worker.ask(
            what="evaluation", device=args.device, data=str(data), **size
        )
    for row in rows:
        print(f"{row['what']:<36} {row['canvases_per_second']:9,.0f} canvases/s", flush=True)
    return rows


def training(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Start-up, and time to an accuracy, of this airkit and the base, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {"airkit": (OURS, data)}
        if args.base:  # which reads no newer files
            trees["base"] = args.base, made(args, folder / "base.h5", args.base)
        starts = start_ups(args, folder, trees)
        print(*(f"{who}: {each:.2f} s to the first step" for who, each in starts.items()), sep="\n")
        rows = []
        for seed in args.seeds[: 1 if args.quick else None]:
            for who, tree in trees.items():
                found = timed_training(args, folder / f"{who}-{seed}", seed, *tree)
                rows.append({"who": who, "seed": seed, **found})
    return {"start_seconds": starts, "rows": rows}


def start_ups(args: argparse.Namespace, folder: Path, trees: Trees) -> dict[str, float]:
    """Seconds to the first step, and those of importing torch alone."""
    times: dict[str, list[float]] = {name: [] for name in ("import torch", *trees)}
    for turn in range(1 if args.quick else 7):
        times["import torch"].append(training_time.import_torch(args.threads))
        for who, (source, data) in trees.items():
            run = folder / f"start-{who}-{turn}"
            seconds = training_time.first_step(
                train_options(args, data), run, threads=args.threads, source=source
            )
            times[who].append(seconds)
    return {who: median(each) for who, each in times.items()}


def train_options(args: argparse.Namespace, data: Path) -> tuple[str, ...]:
    """What every training is told."""
    return "--data", str(data), "--device", args.device


def timed_training(
    args: argparse.Namespace, run: Path, seed: int, source: Path, data: Path
) -> dict[str, Any]:
    """One training to the accuracy, with validations as often as to notice."""
    often = f"train.val_every={10 if args.quick else 100}"
    found = training_time.accurate(
        (*train_options(args, data), "--set", often, "--seed", str(seed)),
        run,
        0.0 if args.quick else ACCURATE,
        threads=args.threads,
        source=source,
    )
    print(
        f"{run.name}: {found['accuracy']:.2%} after {found['seconds']:.1f} s "
        f"and {found['steps']} steps",
        flush=True,
    )
    return found


SECTIONS: dict[str, Section] = {
    "stages": stages,
    "rivals": rivals,
    "scaling": scaling,
    "evaluation": evaluation,
    "training": training,
}
"""What there is to measure, in this order."""


if __name__ == "__main__":
    main()
