"""Config files that are no TOML, or TOML that is no configuration."""

from __future__ import annotations

import random
import re
from pathlib import Path

from fuzz import damage

VALUES = (
    "inf", "-inf", "nan", "0", "-1", "1e400", "1e-400", "9" * 30, "9" * 5000, "0x" + "f" * 9000,
    "-" + "9" * 4400, "0b" + "1" * 70000, "1_000", "true", '""', "''", '"auto"', '"\\u0000"',
    '"\\U0010FFFF"', '"\\u202e"', '"\\u001b[2J"', "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00",
    "9999-12-31T23:59:60Z", "[]", "[[]]", "{}", "{a = {b = 1}}", "[1, 'two', 3.0]",
    "[" * 100 + "]" * 100, "[" * 3000, "[" * 400 + "]" * 400, "{a=" * 300 + "1" + "}" * 300,
    "[" + "1," * 3000 + "]", "[" + "8192," * 200 + "]", '"' + "x" * 20000 + '"', "'''" + "y\n" * 900
    + "'''", "1.7976931348623157e308", "5e-324", "4294967296", "18446744073709551616",
    "[{a=1},{b=2}]", "'mnist'", "'/dev/zero'", "'../..'", "~",
)  # fmt: skip
LINES = (
    "[train]", "[[train]]", "[train.steps]", "[a.b.c]", "train.steps = 3", "train = 3", "[",
    "[]", "[.]", "x", "= 3", "steps = 3", "steps = 3\nsteps = 4", "'' = 1", '"" = {}', '"a.b" = 1',
    "[''.'']", '["\\u001b[31m"]', "[extra]\na = 1", "a" * 20000 + " = 1", "a." * 400 + "a = 1",
    "a." * 9000 + "a = 1", "[" + "a." * 5000 + "a]", "# \x7f", "#" * 20000, "\x00", "\ufeff",
    "\r", "\x1b", "[train]\nstep = 2", '"\\ud800" = 1', "[data]\nsource = '\u202e'", "\u2028",
    "model.hidden_size = 8192", "model.encoder_net = [" + "8192," * 5000 + "]",
)  # fmt: skip


def make(seeds: Path, path: Path, rng: random.Random) -> str:
    """Write a config file ``path`` that may or may not be one."""
    text = rng.choice(sorted(seeds.glob("*.toml"))).read_text()
    names = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        change = rng.choice(_CHANGES)
        text = change(text, rng)
        names.append(change.__name__.strip("_"))
    content = text.encode()
    if rng.random() < 0.4:
        content, how = damage.spoil(content or b"\n", rng)
        names.append(how)
    if rng.random() < 0.05:
        content = _encoded(text, rng)
        names.append("encoded")
    path.write_bytes(content)
    return " ".join(names)


def _value(text: str, rng: random.Random) -> str:
    """Another value for some key."""
    keys = list(re.finditer(r"(?m)^\w+ = (.*)$", text))
    if not keys:
        return text
    start, stop = rng.choice(keys).span(1)
    return text[:start] + rng.choice(VALUES) + text[stop:]


def _line(text: str, rng: random.Random) -> str:
    """Another line somewhere."""
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
    return "\n".join(lines)


def _again(text: str, rng: random.Random) -> str:
    """Some line twice, or out of its section."""
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return "\n".join(lines)


def _key(text: str, rng: random.Random) -> str:
    """A key misspelt."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice("aZ_.-\"'[]{}=#, \t\n\\") + text[at:]


def _larger(text: str, rng: random.Random) -> str:
    """The file many times as long."""
    filler = rng.choice(("# a comment\n", "\n", "[[a]]\n", "a.b.c.d = 1\n", text))
    return text + filler * min(rng.choice((10, 1000, 9000)), 10**6 // (1 + len(filler)))


def _same(text: str, rng: random.Random) -> str:
    return text


_CHANGES = (_value, _value, _value, _line, _line, _again, _key, _key, _larger, _same)


def _encoded(text: str, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return text.replace("\n", "\r\n").encode()
    return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32", "utf-7", "cp037")), "replace")
