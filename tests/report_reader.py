"""Reading reports."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser


class Reader(HTMLParser):
    """Text, tables and addresses of a page; fails where tags do not pair up."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag such as <path/>, which holds nothing but an address."""
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def facts(self) -> dict[str, str]:
        """All rows of two cells, by the first."""
        return {row[0]: row[1] for table in self.tables for row in table if len(row) == 2}

    def table(self, corner: str) -> list[list[str]]:
        """The table whose upper left cell is ``corner``."""
        return next(table for table in self.tables if table[0][0] == corner)


def commands(text: str) -> list[str]:
    """The commands that a report ends with."""
    found = re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)
    assert found is not None
    return unescape(found[1]).splitlines()


def timeless(text: str) -> str:
    """A report without its day and what time training and measuring took."""
    text = re.sub(r"\d+ \w+ \d{4}(?=[<:])|(?<=datetime=\")[^\"]+", "", text)
    return re.sub(r"(?<=<td)(?: id=\"seconds\")?>[\d.:]+(?: m?s)?(?=</td>)", "", text)
