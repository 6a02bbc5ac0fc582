"""What the caller has set in torch changes no number: the default dtype, and the modes without gradients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import driftfield

ROWS = np.random.default_rng(0).normal(size=(60, 2))


@contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def numbers_of(schedule: str, network: str) -> list[np.ndarray]:
    model = driftfield.fit(ROWS, steps=3, schedule={"kind": schedule}, network={"kind": network, "width": 8}, batch=16)
    x = ROWS[:3]
    return [
        model.sample(3, steps=3),
        *model.log_prob(x, steps=2),
        model.log_prob(x, steps=2, divergence="hutchinson")[0],
        model.score(x),
        model.decode(model.latent(x, steps=2), steps=2),
        model.bound(x, times=np.linspace(0, 1, 4))[0],
    ]


@pytest.mark.parametrize(("schedule", "network"), [("ve", "mlp"), ("cosine", "mlp"), ("linear", "conditional-mlp")])
@pytest.mark.parametrize("mode", [double_by_default, torch.inference_mode, torch.no_grad])
def test_fits_and_their_numbers_are_the_same_in_every_mode(
    mode: Callable[[], AbstractContextManager[None]], schedule: str, network: str
) -> None:
    expected = numbers_of(schedule, network)
    with mode():
        found = numbers_of(schedule, network)
    for a, b in zip(expected, found, strict=True):
        assert_array_equal(a, b)


def test_an_evaluation_works_in_inference_mode() -> None:
    model = driftfield.fit(ROWS, steps=3, network={"width": 8}, batch=16)
    with torch.inference_mode():
        found = model.evaluate(12)
    assert_array_equal(found.log_density, model.evaluate(12).log_density)


def test_a_network_of_the_users_own_may_be_made_in_double_precision() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor, label: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
            return self.layer(torch.cat([x, label.reshape(-1, 1).expand(len(x), 1)], 1))

    with double_by_default():
        model = driftfield.fit(ROWS, steps=3, network=Own(), batch=16)
        assert np.isfinite(model.sample(3, steps=3)).all()
