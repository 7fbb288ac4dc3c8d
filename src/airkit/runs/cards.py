"""Cards of what is shared: the README.md of a data set and of a trained model.

A card begins with a head in YAML, which Hugging Face reads. JSON on a line is YAML too, so that
text from elsewhere stays text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airkit._version import __version__
from airkit.config import settings
from airkit.config.sections import PICTURES
from airkit.config.settings import spelled
from airkit.data.digits import NOT_STATED
from airkit.data.info import DataInfo, shared_source
from airkit.errors import AirkitError, sanitize
from airkit.runs.training_data import make_data_command
from airkit.system import files
from airkit.system.tables import Table, in_markdown, named

if TYPE_CHECKING:
    from airkit.data.coco import Coco
    from airkit.runs.checkpoint import Checkpoint

CARD, WEIGHTS, CONFIG = "README.md", "model.safetensors", "config.json"
"""Files of an exported model: its card, its parameters, and all else about it."""
TAGS = ["attend-infer-repeat", "object-centric", "object-counting"]
_UNKNOWN = "unknown"
_MOST_MEASURES = 2**22
_NOT_MEASURES = ("seconds", "looks", "canvases", "likelihood_samples")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
"""Hugging Face's size categories: each is ten times the one before."""

Rows = Iterable[tuple[object, ...]]


def is_shared(folder: Path) -> bool:
    """Return whether a folder holds an exported model."""
    return all(os.path.isfile(folder / name) for name in (WEIGHTS, CONFIG))


def data_card(info: DataInfo, splits: Sequence[str], coco: Coco, licence: str | None) -> str:
    """Return the card of a data file that was exported.

    Args:
        info: the data file.
        splits: those that were exported.
        coco: what was written.
        licence: as Hugging Face names it; None for the recorded one.
    """
    size = _SIZES[max(0, len(str(coco.images)) - 3)]
    told = info.licence != NOT_STATED
    recorded = info.licence.lower().replace(" ", "-") if told else _UNKNOWN
    head = {
        "license": licence or recorded,
        "pretty_name": f"Canvases of {info.path.name}",
        "task_categories": ["object-detection"],
        "tags": TAGS,
        "size_categories": [size],
    }
    config = info.config
    command = make_data_command(config, shared_source(info.source), "data.h5")
    body = [
        f"# Canvases of {_line(info.path.name)}",
        f"{coco.images:,} canvases of {config.data.shape[1]}x{config.data.shape[0]} pixels in "
        f"COCO's format, {_annotated(coco)}: `annotations.json` and the PNGs in `images`.",
        "## Splits",
        _table(("split", "canvases", "objects a canvas"), _split_rows(info, splits, coco)),
        "## Where it is from",
        _table(("", ""), _origin_rows(info)),
        _PICTURES if info.source == PICTURES else f"```bash\n{sanitize(command)}\n```",
    ]
    return _card(head, body)


_PICTURES = "Imported with `airkit import`; the truth is what came with the pictures."


def _annotated(coco: Coco) -> str:
    """What is known of the objects of all canvases together."""
    if coco.annotations or not any(map(any, coco.counts.values())):
        return f"with {coco.annotations:,} annotated objects"
    return "without annotations, as only counts are known"


def _split_rows(info: DataInfo, splits: Sequence[str], coco: Coco) -> Rows:
    for split in splits:
        counts = sorted(coco.counts[split].items())
        told = ", ".join(f"{many:,} of {count}" for count, many in counts) or "not known"
        yield split, f"{info.splits[split]:,}", told


def _origin_rows(info: DataInfo) -> Rows:
    return (
        ("source", shared_source(info.source)),
        ("licence", _UNKNOWN if info.licence == NOT_STATED else info.licence),
        ("attribution", info.shared_attribution),
        ("seed of the canvases", info.config.data.seed),
        ("digest of the content", info.content_digest),
        ("digest of the source", info.source_digest),
        ("written by", f"airkit {info.airkit_version}"),
    )


def model_card(
    state: Checkpoint, doubts: Sequence[str], measures: Path | None, licence: str | None
) -> str:
    """Return the card of a trained model.

    Args:
        state: the checkpoint.
        doubts: what was in doubt at the end of the training.
        measures: what ``airkit eval --json`` printed of it; None for its validation alone.
        licence: as Hugging Face names it; None for unknown.

    Raises:
        AirkitError: the measures cannot be read, or are of another step.
    """
    measured = _validation(state) if measures is None else _measures(measures, state.step)
    data = Path(state.data).name
    head = {
        "license": licence or _UNKNOWN,
        "library_name": "airkit",
        "tags": TAGS,
        "model-index": [{"name": "airkit", "results": [_result(measured)]}],
    }
    if not measured["values"]:
        del head["model-index"]
    changed = settings.changed(state.config).items()
    body = [
        "# Attend-Infer-Repeat",
        "A model that counts, locates and reconstructs the objects of a picture, trained without "
        "labels (Eslami et al., arXiv 1603.08575) by airkit.",
        _USE,
        "## Measures",
        _told(measured),
        *(["## In doubt", "\n".join(f"- {_line(each)}" for each in doubts)] if doubts else []),
        "## Training",
        _table(("", ""), _training_rows(state, data)),
        "Settings other than the defaults:",
        _table(("setting", "value"), ((key, _value(key, new)) for key, new in changed)),
    ]
    return _card(head, body)


_USE = """## Use

With this folder as `FOLDER`, such as `huggingface_hub.snapshot_download` returns:

```python
import airkit

found = airkit.infer("pictures", "FOLDER")  # counts and boxes
model = airkit.load("FOLDER")  # the model, a torch.nn.Module
```

```bash
airkit infer pictures --run FOLDER
airkit eval --run FOLDER --data DATA.h5
```"""


def _training_rows(state: Checkpoint, data: str) -> Rows:
    return (
        ("steps", f"{state.step:,} of {state.config.train.steps:,}"),
        ("seed", state.config.train.seed),
        ("data", data),
        ("digest of the data", state.data_digest),
        ("parameters", f"{state.parameters:,}"),
        ("exported by", f"airkit {__version__}"),
    )


def _validation(state: Checkpoint) -> dict[str, Any]:
    """Measures of the best validation where it was of this checkpoint, otherwise none."""
    best = state.best
    values: dict[str, float] = {}
    if best is not None and best.step == state.step:
        values = {"elbo": best.elbo}
        if best.count_accuracy is not None:
            values["count_accuracy_one_look"] = best.count_accuracy
    about = {"data": Path(state.data).name, "split": "val", "digest": state.data_digest}
    return {**about, "values": values, "intervals": {}}


def _measures(path: Path, step: int) -> dict[str, Any]:
    """Read what ``airkit eval --json`` printed; raises AirkitError."""
    hint = "airkit eval --json > measures.json, of the same run and checkpoint"
    try:
        told = json.loads(files.start_of(path, _MOST_MEASURES))
        data, split, digest, file = (told[key] for key in ("data", "split", "data_digest",
                                                           "checkpoint"))  # fmt: skip
        about = {"data": Path(data).name, "split": str(split), "digest": str(digest)}
        file = Path(file).name
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        got = (error.strerror or error) if isinstance(error, OSError) else "something else"
        expected = "what airkit eval --json prints"
        raise AirkitError(
            "These are not measures", where=path, expected=expected, got=got, hint=hint
        ) from error
    if re.fullmatch(r"step-\d+\.pt", file) and int(file[5:-3]) != step:
        raise AirkitError(
            "These are measures of another checkpoint",
            where=path,
            expected=f"step {step}, which is exported",
            got=file,
            hint=hint,
        )
    values = {name: value for name, value in told.items() if _is_measure(name, value)}
    intervals = {name: told.get(f"{name}_interval") for name in values}
    return {**about, "values": values, "intervals": intervals}


def _is_measure(name: str, value: object) -> bool:
    return type(value) in (int, float) and name not in _NOT_MEASURES and abs(value) < float("inf")  # type: ignore[arg-type]


def _result(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return measures as an entry of Hugging Face's model-index."""
    return {
        "task": {"type": "object-counting", "name": "Object counting"},
        "dataset": {
            "name": measured["data"],
            "type": measured["data"],
            "split": measured["split"],
            "revision": measured["digest"],
        },
        "metrics": [
            {"type": name, "name": _line(named(name)), "value": value}
            for name, value in measured["values"].items()
        ],
    }


def _told(measured: Mapping[str, Any]) -> str:
    if not measured["values"]:
        return "None were taken of these weights."
    rows = ((named(name), f"{value:.4g}{_range(measured['intervals'].get(name))}")
            for name, value in measured["values"].items())  # fmt: skip
    where = f"On the {_line(measured['split'])} split of {_line(measured['data'])}:"
    return f"{where}\n\n{_table(('measure', 'value'), rows)}"


def _range(interval: object) -> str:
    match interval:
        case [float(low), float(high)]:
            return f" ({low:.4g} to {high:.4g})"
    return ""


def _card(head: Mapping[str, Any], body: Sequence[str]) -> str:
    lines = [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in head.items()]
    return "\n".join(["---", *lines, "---", "", "\n\n".join(body), ""])


def _table(columns: tuple[str, ...], rows: Rows) -> str:
    cells = tuple(tuple(sanitize(str(cell), 500) for cell in row) for row in rows)
    return Table(columns, cells).markdown().rstrip() if cells else "None."


def _line(text: str) -> str:
    """Return text from elsewhere as a line that is no markup."""
    return in_markdown(sanitize(text, 500))


def _value(key: str, value: object) -> str:
    """Return a setting's value as it may be told to others."""
    return shared_source(str(value)) if key == "data.source" else spelled(value)
