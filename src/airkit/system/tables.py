"""Tables of results, as CSV for programs and as Markdown and LaTeX for papers."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from airkit.system.files import check_target, write_text
from airkit.system.paths import to_path

ENDINGS = (".csv", ".md", ".tex")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: "\\" + letter for letter in "&%$#_{}"},
}

_WORDS = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "ari": "ARI", "elbo": "ELBO", "iou": "IoU",
    "mse": "MSE", "voc": "VOC",
}  # fmt: skip
"""Words in the names of measures that are spelled otherwise."""


class Number(NamedTuple):
    """A number in a table."""

    value: float
    """What CSV has."""
    text: str
    """What people read."""


Cell = Number | str


@dataclass(frozen=True)
class Table:
    """Rows of cells under the names of their columns; notebooks show it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def csv(self) -> str:
        """Return the table with its numbers as they are, blank where there is none."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_raw(cell) for cell in row] for row in self.rows)
        return text.getvalue()

    def markdown(self) -> str:
        """Return the table in Markdown, numbers aligned to the right."""
        rules = [("---:" if right else "---") for right in self._right()]
        lines = [self.columns, rules, *(map(_text, row) for row in self.rows)]
        return "".join(f"| {' | '.join(map(in_markdown, line))} |\n" for line in lines)

    def latex(self) -> str:
        """Return the table as a ``tabular`` with the rules of the package booktabs."""
        letters = "".join("r" if right else "l" for right in self._right())
        head, *body = (
            " & ".join(map(_in_latex, line)) + r" \\"
            for line in [self.columns, *(map(_text, row) for row in self.rows)]
        )
        lines = [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{letters}}}", r"\toprule", head]
        return "\n".join([*lines, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""])

    def write(self, path: str | Path) -> None:
        """Write the table in the format of the file's ending; raises OutputError."""
        path = checked(to_path(path))
        form = {".csv": self.csv, ".md": self.markdown, ".tex": self.latex}
        write_text(path, form[path.suffix.lower()]())

    def _right(self) -> list[bool]:
        """Return which columns hold numbers."""
        return [
            any(isinstance(row[place], Number) for row in self.rows)
            for place in range(len(self.columns))
        ]

    def _repr_html_(self) -> str:
        def line(kind: str, cells: Sequence[Cell]) -> str:
            inner = (f"<{kind}>{escape(_text(cell))}</{kind}>" for cell in cells)
            return f"<tr>{''.join(inner)}</tr>"

        rows = "".join(line("td", row) for row in self.rows)
        return f"<table>{line('th', self.columns)}{rows}</table>"


class Labelled:
    """A result that notebooks and ``print`` show as labels and values."""

    def rows(self) -> list[tuple[str, str]]:
        """Return labels and values, in the order to show them."""
        raise NotImplementedError

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {value}".rstrip() for label, value in rows)

    def _repr_html_(self) -> str:
        return labelled(self.rows())


def labelled(rows: Iterable[tuple[str, str]]) -> str:
    """Return labels and values as a table of HTML without a head."""
    lines = (f"<tr><th>{escape(label)}</th><td>{escape(it)}</td></tr>" for label, it in rows)
    return f"<table>{''.join(lines)}</table>"


def checked(path: Path) -> Path:
    """Return the file of a table, or refuse, before the work, another format or a folder.

    Raises:
        OutputError: the name has another ending, or a folder is there.
    """
    what = "Tables are written as CSV, Markdown or LaTeX"
    check_target(path, what, *ENDINGS, option="--table")
    return path


def named(measure: str) -> str:
    """Return the name of a measure, such as ``mean_iou``, in words."""
    return " ".join(_WORDS.get(word, word) for word in measure.replace("_", " ").split(" "))


def percent(share: float) -> Number:
    """Return a share of 1 as per cent."""
    return Number(share, f"{100 * share:.2f} %" if math.isfinite(share) else "")


def number(value: float) -> Number:
    """Return a number with three digits, or one decimal where it is large; an int as it is."""
    if not math.isfinite(value):
        return Number(value, "")
    if isinstance(value, int):
        return Number(value, f"{value:,}")
    return Number(value, f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}")


def in_markdown(text: str) -> str:
    """Return text as a line of Markdown that is no markup."""
    return re.sub(r"([|<\[\]*_`\\])", r"\\\1", " ".join(text.split()))


def _raw(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return repr(cell.value) if math.isfinite(cell.value) else ""


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def _in_latex(text: str) -> str:
    text = re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX[found[0]], " ".join(text.split()))
    return re.sub(r"^-(?=[\d.])", "$-$", text)
