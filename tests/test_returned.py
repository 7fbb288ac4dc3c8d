"""What guides, priors and objectives from outside return is checked, and told where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_factory import blobs, tiny_air, tiny_config
from tiny_runs import fit
from torch import Tensor, nn

from airkit.config.registry import Named
from airkit.errors import ExtensionError
from airkit.model import objectives
from airkit.model.air import AIR
from airkit.model.counts import CountPrior, count_prior
from airkit.model.distributions import Normal
from airkit.model.guides import Guide
from airkit.model.guides.saliency import SaliencyGuide
from airkit.model.objectives.elbo import ExactELBO
from airkit.model.pyro_programs import PyroAIR
from airkit.model.scene import explain


class Own(SaliencyGuide):
    """A guide whose methods return what ``changes`` make of the right thing."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.changes: dict[str, Any] = {}

    def start(self, images: Tensor) -> Any:
        return self.changes.get("start", lambda state: state)(super().start(images))

    def propose(self, *given: Any) -> Any:
        return self.changes.get("propose", lambda *found: found)(*super().propose(*given))

    def encode(self, *given: Any) -> Any:
        return self.changes.get("encode", lambda code: code)(super().encode(*given))

    def advance(self, state: Any, slot: Any) -> Any:
        return self.changes.get("advance", lambda state: state)(super().advance(state, slot))


def own_air(**changes: Any) -> AIR:
    air = tiny_air(tiny_config(2, Named("test_returned:Own")))
    assert isinstance(air.guide, Own)
    air.guide.changes = changes
    return air


def in_pyro(air: AIR, images: Tensor) -> None:
    """Run the guide as a Pyro program, as the estimator nvil does."""
    PyroAIR(air, param_store=False).guide(images)


PROPOSALS: dict[str, tuple[Any, str]] = {
    "one too few": (lambda logit, where, state: (logit, where), "(float64 [3], Normal("),
    "nothing": (lambda *found: None, "NoneType"),
    "a row": (lambda logit, where, state: (logit[:1], where, state), "(float64 [1], "),
    "a column": (lambda logit, where, state: (logit[:, None], where, state), "(float64 [3, 1], "),
    "a number": (lambda logit, where, state: (0.5, where, state), "(float, Normal("),
    "a tuple": (lambda logit, where, state: (logit, tuple(where), state), "(float64 [3], (float64"),
    "another dtype": (lambda logit, where, state: (logit.float(), where, state), "(float32 [3], "),
}


@pytest.mark.parametrize("wrong", PROPOSALS)
@pytest.mark.parametrize("use", [AIR.__call__, explain, in_pyro])
def test_a_proposal(use: Any, wrong: str) -> None:
    """Some of these would broadcast, and train in silence."""
    change, got = PROPOSALS[wrong]
    with pytest.raises(ExtensionError, match=r"test_returned:Own\.propose returned") as caught:
        use(own_air(propose=change), blobs(3))
    assert use is explain or caught.value.got.startswith(got)


@pytest.mark.parametrize(
    "change",
    [
        lambda code: code.mean,
        lambda code: Normal(code.mean, code.sd[:1]),
        lambda code: Normal(code.mean[:, :2], code.sd[:, :2]),
    ],
)
@pytest.mark.parametrize("use", [AIR.__call__, in_pyro])
def test_a_code(use: Any, change: Any) -> None:
    with pytest.raises(ExtensionError, match=r"Own\.encode returned .*\n.*\n.*\[3, 3\] each"):
        use(own_air(encode=change), blobs(3))


@pytest.mark.parametrize(
    "state", [lambda mask: {"mask": mask}, lambda mask: mask[None], lambda mask: (mask, mask[0, 0])]
)
def test_a_state_of_which_some_images_are_taken(state: Any) -> None:
    """A state whose first axis is not the images' would give an image another's."""
    images = blobs(3)
    images[1:] = 0  # nothing to find there: the search goes on with one image
    air = own_air(advance=state, propose=_sure)
    air.candidates = 1
    with pytest.raises(ExtensionError, match=r"Own\.advance returned .*\n.*\n.*of tensors"):
        explain(air, images)


def test_a_guide_without_a_state() -> None:
    masks, index = torch.rand(3, 4), torch.tensor([2])
    none, masked = tiny_air().guide.checked_rows((None, masks), index, 3)
    assert none is None
    assert torch.equal(masked, masks[2:])


def _sure(logit: Tensor, where: Normal, state: Any) -> tuple[Tensor, Normal, Any]:
    """One object on the first image of three, one after another, and none on the others."""
    first = torch.arange(len(logit)) == 0
    return torch.where(first, 60.0, -60.0).to(logit), where, state


class Wild(SaliencyGuide):
    """Does not build its parent."""

    def __init__(self, *given: Any) -> None:
        pass


class Blind(Guide):
    """Neither has an encoder nor encodes."""

    def start(self, images: Tensor) -> None:
        return None

    def propose(self, *given: Any) -> Any:
        return given

    def advance(self, *given: Any) -> None:
        return None


class Unlike(SaliencyGuide):
    """Takes no arguments."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "got"),
    [("Wild", "super().__init__"), ("Blind", "self.encoder"), ("Unlike", "TypeError")],
)
def test_a_guide_that_cannot_be_built(name: str, got: str) -> None:
    with pytest.raises(ExtensionError, match=f"test_returned:{name}") as caught:
        AIR(tiny_config(2, Named(f"test_returned:{name}")))
    assert got in caught.value.got


class Prior(CountPrior):
    """Returns what ``found`` says."""

    found: Any = None

    def log_prob(self, ratio: float, slots: int) -> Any:
        return self.found(slots)


@pytest.mark.parametrize(
    ("found", "got"),
    [
        (lambda slots: None, "NoneType"),
        (lambda slots: [0.0] * slots, "list"),
        (lambda slots: torch.zeros(slots).log_softmax(0), "float32 [2]"),
        (lambda slots: torch.zeros(4).log_softmax(0), "float32 [4]"),
        (lambda slots: torch.full((slots + 1,), torch.nan), "not all of them finite"),
        (lambda slots: torch.eye(slots + 1)[0].log(), "not all of them finite"),
        (lambda slots: torch.zeros(slots + 1), "sum to 3"),
        (lambda slots: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_prior(found: Any, got: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prior, "found", staticmethod(found))
    with pytest.raises(ExtensionError, match="test_returned:Prior") as caught:
        count_prior(Named("test_returned:Prior"))
    assert got in caught.value.got


class Objective(ExactELBO):
    """Returns what ``change`` makes of the right thing."""

    capturable = False
    change: Any = None

    def forward(self, *given: Any) -> Any:
        return self.change(*super().forward(*given))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda loss, surrogate: surrogate, "float32 []"),
        (lambda loss, surrogate: None, "NoneType"),
        (lambda loss, surrogate: (float(loss), surrogate), "(float, float32 [])"),
        (lambda loss, surrogate: (loss, surrogate.detach()), "without a gradient"),
        (lambda loss, surrogate: (loss.expand(2), surrogate.expand(2)), "(float32 [2], "),
    ],
)
def test_an_objective(
    change: Any, got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "change", staticmethod(change))
    with pytest.raises(ExtensionError, match="test_returned:Objective cannot be used") as caught:
        fit(tmp_path / "run", train__estimator="test_returned:Objective")
    assert got in caught.value.got


class Unbuilt(ExactELBO):
    """Builds the module, not the objective."""

    def __init__(self, *given: Any) -> None:
        nn.Module.__init__(self)


def test_an_objective_that_is_not_built() -> None:
    config = tiny_config(2).updated("train", estimator=Named("test_returned:Unbuilt"))
    with pytest.raises(ExtensionError, match=r"does not call super\(\).__init__"):
        objectives.build(tiny_air(), config)
