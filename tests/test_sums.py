"""Running sums: the deterministic way gives what cumsum gives."""

from __future__ import annotations

import pytest
import torch

from airkit.model import sums


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("more", [(), (2, 3)])
def test_by_doubling(count: int, more: tuple[int, ...]) -> None:
    values = torch.randn(4, count, *more, dtype=torch.float64, generator=torch.Generator())
    assert torch.allclose(sums._by_doubling(values), values.cumsum(1), rtol=1e-12, atol=1e-12)


def test_its_gradient() -> None:
    values = torch.linspace(-1, 1, 14, dtype=torch.float64).view(2, 7).requires_grad_()
    assert torch.autograd.gradcheck(sums._by_doubling, values)


def test_on_the_cpu_it_is_cumsum() -> None:
    """Bit for bit, whatever is asked for: it is deterministic there."""
    values = torch.randn(5, 700, generator=torch.Generator().manual_seed(0))
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(sums.running_sum(values), values.cumsum(1))
    finally:
        torch.use_deterministic_algorithms(False)
