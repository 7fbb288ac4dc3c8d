"""Settings of classes from outside: any names, recorded like all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import data_file, fit, state

import airkit
from airkit import settings
from airkit.config.schema import Config
from airkit.errors import AirkitError, ConfigError
from airkit.model.guides.saliency import SaliencyGuide

GUIDE: dict[str, Any] = {
    "guide__kind": "test_own_settings:Sharp",
    "own__offset": 0.25,
    "own__words": ("a", "b"),
}
NAMED = {"guide.kind": "test_own_settings:Sharp"}


class Sharp(SaliencyGuide):
    """A guide whose proposals start from a setting."""

    def __init__(self, config: Config, *given: Any) -> None:
        super().__init__(config, *given)
        self.offset = config.own.offset
        assert config.own.words == ("a", "b")


PLAIN = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{5,9}", fullmatch=True).filter(
    lambda it: not hasattr(Config, it)
)


@given(st.dictionaries(NAMES, PLAIN | st.lists(PLAIN), max_size=4))
def test_they_are_kept_as_they_are(own: dict[str, Any]) -> None:
    config = settings.resolve(settings.Layer("here", {"own": own}))
    wanted = {name: tuple(it) if isinstance(it, list) else it for name, it in own.items()}
    assert {name: getattr(config.own, name) for name in own} == wanted
    assert settings.from_json(settings.to_json(config), "there") == config
    assert settings.changed(config) == {f"own.{name}": it for name, it in wanted.items()}


@pytest.mark.parametrize(
    "own", [{"it": {"a": 1}}, {"it": [[1]]}, {"it": None}, {"copy": 1}, {"a b": 1}]
)
def test_what_a_class_could_not_read_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="own"):
        settings.resolve(settings.Layer("here", {"own": own}))


def test_a_run_keeps_them(tmp_path: Path) -> None:
    fit(tmp_path / "run", **GUIDE)
    assert state(tmp_path / "run").config.own.offset == 0.25
    air = airkit.load(tmp_path / "run", settings=NAMED)
    assert isinstance(air.guide, Sharp)
    assert air.guide.offset == 0.25
    assert airkit.evaluate(tmp_path / "run", settings=NAMED).canvases
    again = airkit.train(data_file(), tmp_path / "run", settings={**NAMED, "train.steps": 25})
    assert again.resumed_from == 23
    with pytest.raises(AirkitError, match=r"own\.offset"):
        airkit.train(data_file(), tmp_path / "run", settings={**NAMED, "own.offset": 0.5})
