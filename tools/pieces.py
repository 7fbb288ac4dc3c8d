"""Pieces of Markdown that the generated parts of the docs are made of."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Iterator


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table."""
    heads = list(heads)
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """Text as code; a bar is spelt out, as it would end a table's cell."""
    if "|" in text:
        return f"<code>{html.escape(text).replace('|', '&#124;')}</code>"
    return f"`{text}`"


def prose(text: str | None) -> str:
    """A docstring as one line of Markdown."""
    return " ".join((text or "").split()).replace("``", "`").replace("|", "\\|")


def first_line(text: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    return prose((text or "").partition("\n\n")[0])


def fields(*nodes: ast.ClassDef) -> Iterator[str]:
    """A table of the fields of a class and its bases, which come first; nothing for none.

    What stands under a field as a string is its meaning.
    """
    rows = [
        (code(ast.unparse(each.target)), code(ast.unparse(each.annotation)), _string(after))
        for node in nodes
        for each, after in zip(node.body, [*node.body[1:], None], strict=True)
        if isinstance(each, ast.AnnAssign)
    ]
    if rows:
        yield from table(("field", "type", "meaning"), rows)


def _string(node: ast.stmt | None) -> str:
    """The prose of a string that stands alone, as under a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return prose(str(node.value.value))
    return ""
