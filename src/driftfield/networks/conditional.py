"""The conditional perceptron, whose layers are gated by an embedding of the chain's step."""

import itertools
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from driftfield.errors import InputError, unknown_name
from driftfield.networks.mlp import ACTIVATIONS, INITS
from driftfield.options import NameIn, Positive


class ConditionalMLP(nn.Module):
    r"""h_{l + 1} = act( e_l(t) * (W_l h_l + b_l) ), then a linear output.

    Each layer's output is multiplied by an embedding e_l(t) (width,), which is learned for each step of a chain and
    initialised uniformly on [0, 1]. Between two steps it is interpolated, so that the probability-flow ODE can be
    solved.

    Args:
        dimensions: D, the number of columns.
        steps: T, the number of steps of the chain.
        width, depth: units of a hidden layer, and number of hidden layers.
        activation: "softplus", "silu", "gelu", "relu" or "tanh".
        init: "torch", "zero" (of the output layer) or "xavier".
        outputs: size of the output; D by default.

    Raises:
        InputError: no chain, a size below 1, or an unknown name.
    """

    label = "t"

    def __init__(
        self,
        dimensions: int,
        steps: int | None = None,
        width: Annotated[Positive, Field(description="units of each hidden layer")] = 128,
        depth: Annotated[Positive, Field(description="number of hidden layers")] = 3,
        activation: Annotated[str, NameIn("activation", ACTIVATIONS)] = "softplus",
        init: Annotated[str, NameIn("init", INITS), Field(description="of the weights")] = "torch",
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        if steps is None:
            raise InputError(
                'The network "conditional-mlp" has an embedding for each step of a chain, but the schedule has no '
                "steps: choose a chain, such as schedule.kind = linear, or the network mlp."
            )
        if min(dimensions, steps, width, depth) < 1:
            raise InputError(
                f"A network needs sizes of at least 1, got {dimensions} columns, width {width} and depth {depth}."
            )
        for what, name, table in (("activation", activation, ACTIVATIONS), ("init", init, INITS)):
            if name not in table:
                raise unknown_name(what, name, table)
        self.steps = steps
        sizes = [dimensions, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=torch.float32) for a, b in itertools.pairwise(sizes))
        self.gates = nn.Parameter(torch.rand(steps, depth, width, dtype=torch.float32))
        self.activation = ACTIVATIONS[activation]()
        self.out = nn.Linear(width, outputs or dimensions, dtype=torch.float32)
        INITS[init](self.layers, self.out)

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        """x (B, D), label t () or (B,) -> (B, outputs)."""
        gates = self._gates(label.reshape(-1))  # (B or 1, depth, width)
        for i, layer in enumerate(self.layers):
            x = self.activation(gates[:, i] * layer(x))
        output: Tensor = self.out(x)
        return output

    def _gates(self, t: Tensor) -> Tensor:
        """Step i's embedding at t = i / T, interpolated between steps; constant before the first one."""
        position = (t * self.steps - 1).clamp(0, self.steps - 1)
        left = (
            (position + 1e-4).floor().clamp(max=self.steps - 1)
        )  # a step's time, rounded to float32, counts as that step
        fraction = (position - left).clamp(min=0)[:, None, None]
        index = left.long()
        if bool((fraction < 1e-3).all()):
            return nn.functional.embedding(index, self.gates.flatten(1)).view(-1, *self.gates.shape[1:])
        below, above = self.gates[index], self.gates[(index + 1).clamp(max=self.steps - 1)]
        return below + fraction * (above - below)
