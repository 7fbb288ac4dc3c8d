"""Prints what users can rely on in a checkout of airkit, or how two checkouts differ in it.

    python tools/interface.py SRC             # all of it as JSON; SRC is the folder above airkit/
    python tools/interface.py BEFORE AFTER    # what was removed (-), added (+) and changed (~)

That is: commands and options, settings with types, defaults and bounds, public names with their
signatures, fields of results, errors, the files that commands write, the keys of their JSON, and
the layout of data files and checkpoints. Files and JSON come from a tiny run of every command,
about a minute. No module is named but the public ones and ``airkit.cli.app``, so that checkouts
with other layouts can be compared.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMANDS = (
    "make-data --preset tiny --source strokes --train 40 --val 8 --test 12 --out data.h5 --json",
    "train --data data.h5 --run run --steps 2 --device cpu --json",
    "eval --run run --json",
    "eval --run run --against run --json",
    "render --run run --json",
    "report --run run --json",
    "infer stack.npy --run run --overlay overlay",
    "predict run --out predictions.jsonl --samples 2 --json",
    "export data.h5 --out coco --json",
    "export run --out weights --json",
    "sweep --data data.h5 --out sweep --seeds 1 --steps 2 --device cpu --json",
    "report --run run --run sweep/seed-000 --out several.html --json",
    "info data.h5 --verify --json",
    "info run/checkpoints/step-000000002.pt --json",
    "info run --json",
    "info sweep --json",
)
"""Command lines whose JSON and files are part of the interface."""


def interface() -> dict[str, Any]:
    """The interface of the airkit that this Python imports."""
    airkit = importlib.import_module("airkit")
    errors = vars(importlib.import_module("airkit.errors"))
    return {
        "commands": dict(commands()),
        "settings": dict(schema(airkit.settings.json_schema())),
        "presets": [*airkit.settings.presets()],
        "airkit": {name: signature(getattr(airkit, name)) for name in airkit.__all__},
        "airkit.settings": public(vars(airkit.settings), airkit.settings.__name__),
        "airkit.errors": public(errors, "airkit.errors"),
        "results": dict(results(airkit)),
        **written(),
    }


def commands() -> Iterator[tuple[str, str]]:
    """Every option and argument: its type, default, whether it is required, metavar, bounds."""
    from typer.main import get_command  # noqa: PLC0415

    todo: list[tuple[str, Any]] = [
        ("airkit", get_command(importlib.import_module("airkit.cli.app").app))
    ]
    for name, command in todo:
        todo += [(f"{name} {key}", it) for key, it in getattr(command, "commands", {}).items()]
        for it in command.params:
            kind = it.type_descriptor.annotation
            told = (it.default, it.required, it.metavar, it.min, it.max, it.multiple)
            options = "/".join([*it.opts, *it.secondary_opts])
            yield f"{name} {options}", " ".join([getattr(kind, "__name__", "?"), *map(str, told)])


def schema(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every setting, from the JSON Schema without its prose."""

    def bare(field: Any) -> Any:
        if isinstance(field, dict):
            prose = ("title", "description", "examples")
            return {key: bare(field[key]) for key in sorted(field) if key not in prose}
        return [bare(each) for each in field] if isinstance(field, list) else field

    for section, outer in found["properties"].items():
        inner = found["$defs"][outer["$ref"].rpartition("/")[2]]
        yield from ((f"{section}.{key}", bare(it)) for key, it in inner["properties"].items())


def signature(thing: Any) -> str:
    """What a public name is, with bases or parameters and defaults, without annotations."""
    if inspect.isclass(thing):
        return f"class of {' '.join(base.__name__ for base in thing.__bases__)}"
    if not inspect.isfunction(thing):
        return type(thing).__name__
    parameters = inspect.signature(thing).parameters.values()
    told = str(inspect.Signature([it.replace(annotation=it.empty) for it in parameters]))
    return re.sub(r" at 0x\w+", "", told)  # of a default's address


def public(names: dict[str, Any], module: str) -> dict[str, str]:
    """Public classes and functions that a module defines."""
    own = {name: it for name, it in names.items() if getattr(it, "__module__", "") == module}
    return {name: signature(it) for name, it in own.items() if name[0] != "_"}


def results(airkit: Any) -> Iterator[tuple[str, list[str]]]:
    """Fields and properties of the dataclasses that public functions return, nested ones too."""
    known: dict[str, Any] = {}
    for module in pkgutil.walk_packages(airkit.__path__, "airkit."):
        if not module.name.endswith("__main__"):
            known |= vars(importlib.import_module(module.name))
    known = {name: it for name, it in known.items() if dataclasses.is_dataclass(it)}
    functions = [getattr(airkit, name) for name in airkit.__all__]
    todo = [it.__annotations__["return"] for it in functions if inspect.isfunction(it)]
    seen: set[str] = set()
    for text in todo:
        for name in set(re.findall(r"\w+", str(text))) & known.keys() - seen:
            seen.add(name)
            fields = dataclasses.fields(known[name])
            todo += [field.type for field in fields]
            properties = inspect.getmembers(known[name], lambda it: isinstance(it, property))
            names = [*(field.name for field in fields), *(key for key, _ in properties)]
            yield name, sorted(key for key in names if key[0] != "_")


def written() -> dict[str, Any]:
    """Keys of JSON, names of files, and layouts of files, of a tiny run of every command."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    environment = {**os.environ, "AIRKIT_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "stack.npy", np.zeros((2, 32, 32), np.uint8))
        told = {}
        for command in COMMANDS:
            words = [sys.executable, "-m", "airkit", *command.split()]
            output = subprocess.run(
                words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
            ).stdout
            told[command] = keys(json.JSONDecoder().raw_decode(output)[0])
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        texts = {path: (folder / path).read_text() for path in files if ".json" in path}
        run = torch.load(folder / "run/checkpoints/step-000000002.pt", weights_only=True)
        return {
            "JSON": told,
            "files": files,
            "JSON files": {  # those of lines: the keys of all lines together
                path: keys(
                    json.loads(text if path[-1] == "n" else f"[{text.replace(chr(10), ',')[:-1]}]")
                )
                for path, text in texts.items()
            },
            "data file": hdf5(folder / "data.h5"),
            "checkpoint": {key: type(it).__name__ for key, it in run.items()},
            "weights": {key: str(tuple(it.shape)) for key, it in run["model"].items()},
            "version of checkpoints": run["format_version"],
        }


def hdf5(path: Path) -> dict[str, str]:
    """Attributes and arrays of a data file."""
    import h5py  # noqa: PLC0415

    with h5py.File(path) as file:
        arrays = [f"{split}/{name}" for split in file for name in file[split]]
        found = {name: f"{file[name].dtype} of {file[name].ndim} dimensions" for name in arrays}
        version = {"version": str(file.attrs["format_version"])}
        return {**found, **{key: type(it).__name__ for key, it in file.attrs.items()}, **version}


def keys(value: Any) -> list[str]:
    """Dotted paths of all values of JSON, with their types."""
    if isinstance(value, dict):
        return [f"{key}.{each}" for key in value for each in keys(value[key])]
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return sorted({f"[].{each}" for it in value for each in keys(it)})
    return [type(value).__name__]


def flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths and values of an interface, one each line of the comparison."""
    if isinstance(value, dict) and not path.startswith("settings /"):
        for key, each in value.items():
            yield from flat(each, f"{path} / {key}" if path else key)
    elif isinstance(value, list):
        yield from ((f"{path} / {each}", "") for each in value)
    else:
        yield path, json.dumps(value)


def interface_of(src: str) -> dict[str, Any]:
    """The interface of a checkout, told by a Python of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(src).absolute())}
    output = subprocess.check_output([sys.executable, __file__], text=True, env=environment)
    found: dict[str, Any] = json.loads(output)
    return found


def main(*given: str) -> None:
    """Print an interface, or the differences of two."""
    if len(given) < 2:
        found = interface_of(*given) if given else interface()
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    before, after = (dict(flat(interface_of(src), "")) for src in given)
    removed, added = before.keys() - after.keys(), after.keys() - before.keys()
    changed = [key for key in before if key in after and before[key] != after[key]]
    lines = [f"- {key} {before[key]}" for key in before if key in removed]
    lines += [f"+ {key} {after[key]}" for key in after if key in added]
    lines += [f"~ {key}: {before[key]} -> {after[key]}" for key in changed]
    counts = f"{len(removed)} removed, {len(added)} added, {len(changed)} changed"
    sys.stdout.write("\n".join([*lines, f"of {len(before)}: {counts}"]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
