"""Tables of measures, with their intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airkit.system.tables import Number, Table, named, number, percent

_NO_MEASURES = ("confusion", "likelihood_samples", "looks", "seconds", "trust")
_NOTHING = Number(float("nan"), "")


def measures_table(measures: Mapping[str, Any], against: Mapping[str, Any] | None = None) -> Table:
    """Return a table of measures, a row each, with their 95 % intervals.

    Args:
        measures: plain values by name, as ``to_dict`` has them; ``NAME_interval`` is the interval
            of ``NAME``, and shares by true count are rows of their own. What was not measured is
            left out.
        against: those of another model on the same canvases, in columns of their own.
    """
    rows, others = _measured(measures), _measured(against or {})
    columns: tuple[str, ...] = ("measure", "value", "low", "high")
    if against is None:
        return Table(columns, tuple((named(name), *cells) for name, cells in rows.items()))
    return Table(
        (*columns, "against", "against low", "against high"),
        tuple(
            (named(name), *cells, *others.get(name, [_NOTHING] * 3)) for name, cells in rows.items()
        ),
    )


def _measured(values: Mapping[str, Any]) -> dict[str, list[Number]]:
    """Return the value and the ends of the interval of each measure."""
    found = {}
    for name, value, interval in _numbers(values):
        form = percent if _is_share(name) else number
        found[name] = [_NOTHING if each is None else form(each) for each in (value, *interval)]
    return found


def _numbers(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float, Sequence[float | None]]]:
    """Yield names, numbers and intervals, those in mappings with both names."""
    for name, value in values.items():
        interval = values.get(f"{name}_interval") or (None, None)
        if name in _NO_MEASURES or name.endswith("_interval"):
            continue
        if isinstance(value, Mapping):
            inner = interval if isinstance(interval, Mapping) else {}
            known = {f"{each}_interval": ends for each, ends in inner.items()}
            yield from _numbers({**value, **known}, f"{prefix}{name}, ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value, interval


def _is_share(name: str) -> bool:
    words = re.split(r"\W|_", name)
    return "accuracy" in words
