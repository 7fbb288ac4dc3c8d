"""``eval.likelihood_samples = 0``: everything but the likelihoods."""

from __future__ import annotations

import json
import math
from typing import Any
from unittest import mock

import pytest
from command_line import run
from tiny_runs import reference

import airkit
from airkit.model.objectives import elbo, iwae

NONE = {"eval.likelihood_samples": 0}
LEFT_OUT = ("elbo", "log_likelihood_bound")


def test_nothing_is_drawn_for_them() -> None:
    trained = reference()
    with mock.patch.object(iwae, "log_weight") as weight, mock.patch.object(elbo, "elbo_of") as of:
        airkit.evaluate(trained, settings=NONE)
    assert not weight.called
    assert not of.called


def test_all_else_is_as_ever() -> None:
    without, base = (airkit.evaluate(reference(), settings=given) for given in (NONE, {}))
    values = without.to_dict()
    assert [values[name] for name in LEFT_OUT] == [None, None]
    assert all(math.isfinite(getattr(base, name)) for name in LEFT_OUT)
    free: dict[str, Any] = dict.fromkeys((*LEFT_OUT, "likelihood_samples", "seconds"))
    assert values | free == base.to_dict() | free


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(as_json: bool) -> None:
    words = ["eval", "--run", reference(), "--set", "eval.likelihood_samples=0", "--looks", "1"]
    result = run(*words, *["--json"] * as_json)
    assert result.exit_code == 0, result.output
    if as_json:
        assert [json.loads(result.stdout)[name] for name in LEFT_OUT] == [None, None]
    else:
        assert "mean IoU" in result.stdout
        assert not [word for word in ("ELBO", "likelihood") if word in result.stdout]


def test_fewer_than_none_are_refused() -> None:
    with pytest.raises(airkit.AirkitError, match="likelihood_samples"):
        airkit.evaluate(reference(), settings={"eval.likelihood_samples": -1})
