"""The perceptron's gradients, written by hand, equal those of plain layers."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from model_factory import generator
from torch import Tensor, nn

from airkit.model.networks import NONLINEARITIES, Perceptron, mlp
from airkit.model.precision import precision
from airkit.model.tape import Tape

SIZES = [(5, 3), (5, 7, 3), (5, 4, 6, 3), (5, 4, 6, 8, 3)]
ROWS = 9
NEAR = {"relu": 0.3, "elu": 0.03}
"""How far apart precisions may be: rounding takes some of the few units over a kink."""


def _network(sizes: tuple[int, ...], nonlinearity: str = "relu") -> Perceptron:
    network = mlp(*sizes, nonlinearity=nonlinearity)
    draws = generator(len(sizes))
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.randn(weights.shape, generator=draws))
    return network


def _plain(network: Perceptron, nonlinearity: str = "relu") -> nn.Sequential:
    """Layers of the same weights that leave their inputs alone, differentiated by PyTorch."""
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    between: list[nn.Module] = []
    for layer in layers:
        between += [layer, NONLINEARITIES[nonlinearity]()]
    return nn.Sequential(*between[:-1])


def _inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(ROWS, 5, generator=generator(0), dtype=dtype)


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(output.shape, generator=generator(9), dtype=output.dtype)
    return torch.autograd.grad((output * weights).sum(), inputs)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("moving", [False, True])
def test_outputs_and_gradients(sizes: tuple[int, ...], nonlinearity: str, moving: bool) -> None:
    """Whether the input wants a gradient as well or not."""
    network, inputs = _network(sizes, nonlinearity).double(), _inputs().requires_grad_(moving)
    plain = _plain(network, nonlinearity)
    given = [*network.parameters(), *([inputs] if moving else [])]
    found, wanted = network(inputs), plain(inputs)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for one, other in zip(_gradients(found, *given), _gradients(wanted, *given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_inputs_are_left_as_they_are(nonlinearity: str) -> None:
    """The layers between work in place, on what is theirs."""
    network, inputs = _network((5, 7, 3), nonlinearity), _inputs(torch.float32)
    before = inputs.clone()
    network(inputs).sum().backward()
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("sizes", SIZES)
def test_weights_have_the_names_of_a_sequential(sizes: tuple[int, ...]) -> None:
    network = mlp(*sizes)
    shapes = {name: tuple(weights.shape) for name, weights in network.state_dict().items()}
    wanted: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        wanted |= {f"{2 * layer}.weight": (outputs, inputs), f"{2 * layer}.bias": (outputs,)}
    assert shapes == wanted


def test_weights_that_want_no_gradient_get_none() -> None:
    network = _network((5, 7, 3)).double()
    network[0].requires_grad_(False)
    network(_inputs()).sum().backward()
    assert network[0].weight.grad is network[0].bias.grad is None
    assert network[2].weight.grad is not None


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_a_tape_gives_the_gradients_of_all_slots_at_once(nonlinearity: str) -> None:
    network, tape = _network((5, 7, 6, 3), nonlinearity).double(), Tape()
    slots = [_inputs() + slot for slot in range(3)]
    with torch.no_grad():
        outputs = torch.cat([network(slot, tape.record()) for slot in slots])
    found = network(torch.cat(slots), tape.replay())
    wanted = _plain(network, nonlinearity)(torch.cat(slots))
    assert torch.equal(found, outputs)
    given = list(network.parameters())
    for one, other in zip(_gradients(found, *given), _gradients(wanted, *given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


# Precision


def _outcome(
    network: Perceptron, name: str, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ...]:
    """Outputs, and gradients of weights and inputs."""
    inputs = _inputs(dtype).requires_grad_()
    with precision(name):
        output = network(inputs)
        return output, *_gradients(output, *network.parameters(), inputs)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_bfloat16_is_near_float32(sizes: tuple[int, ...], nonlinearity: str) -> None:
    """Rounded to eight bits; everything handed out is float32."""
    network = _network(sizes, nonlinearity)
    full, half = (_outcome(network, name) for name in ("float32", "bfloat16"))
    for one, other in zip(half, full, strict=True):
        assert one.dtype == torch.float32
        # The last layer's biases have the sums of gradients that are still float32.
        assert torch.equal(one, other) == (one is half[-2])
        assert float(((one - other).norm() / other.norm()).detach()) < NEAR[nonlinearity]


def test_bfloat16_rounds_each_factor_and_result() -> None:
    """Which is what one layer gives, to the last bit."""
    network, inputs = _network((5, 3)), _inputs(torch.float32)
    weight, bias = (each.bfloat16() for each in network.parameters())
    wanted = nn.functional.linear(inputs.bfloat16(), weight, bias).float()
    with precision("bfloat16"):
        assert torch.equal(network(inputs), wanted)


def test_what_is_float64_stays_so() -> None:
    network = _network((5, 7, 3)).double()
    full, half = (_outcome(network, name, torch.float64) for name in ("float32", "bfloat16"))
    assert all(map(torch.equal, full, half))
    assert {each.dtype for each in half} == {torch.float64}


def test_gradients_are_multiplied_as_the_outputs_were() -> None:
    """Wherever the backward pass runs, as after the ``with`` or in another thread."""
    network = _network((5, 7, 3))
    wanted = _outcome(network, "bfloat16")
    inputs = _inputs(torch.float32).requires_grad_()
    with precision("bfloat16"):
        output = network(inputs)
    found = output, *_gradients(output, *network.parameters(), inputs)
    assert all(map(torch.equal, found, wanted))
