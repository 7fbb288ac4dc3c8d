"""Words for people: arguments as their caller writes them, numbers with their nouns."""

from __future__ import annotations

import pytest

from airkit.system.text import SHELL, argument, arguments_of, numbered


@pytest.mark.parametrize(
    ("name", "value", "python", "shell"),
    [
        ("object_size", None, "object_size", "--object-size"),
        ("tile", 64, "tile=64", "--tile 64"),
        ("tile", "S", "tile=S", "--tile S"),
        ("pad", True, "pad=True", "--pad"),
        ("behind", 1, "behind=1", "--behind 1"),
        ("scale", 1.0, "scale=1.0", "--scale 1.0"),
        ("color", "rgb", "color='rgb'", "--color rgb"),
        ("crop", (0, 0, 0, 6), "crop=(0, 0, 0, 6)", "--crop 0,0,0,6"),
        ("levels", ("LOW", "HIGH"), "levels=(LOW, HIGH)", "--levels LOW,HIGH"),
        ("path", "my files/", "path='my files/'", "--out 'my files/'"),
    ],
)
def test_an_argument_is_named_as_it_is_given(
    name: str, value: object, python: str, shell: str
) -> None:
    with arguments_of(SHELL):
        assert argument(name, value) == shell
        with arguments_of("airkit.f"):
            assert argument(name, value) == f"{python} of airkit.f"
    assert argument(name, value) == python


@pytest.mark.parametrize(
    ("many", "said"),
    [
        (0, "0 old pictures were cut"),
        (1, "1 old picture was cut"),
        (1200, "1,200 old pictures were cut"),
    ],
)
def test_numbers_agree_with_their_nouns(many: int, said: str) -> None:
    assert numbered("{n} {kind} {picture was|pictures were} cut", many, kind="old") == said
