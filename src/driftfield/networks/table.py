"""The network of a table: one perceptron for its numbers, one for its categories."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from driftfield.diffusion.further.cells import ABSENT, Cells
from driftfield.diffusion.further.table_mixture import TableMixture
from driftfield.networks.embeddings import Position, Sine
from driftfield.networks.mlp import ACTIVATIONS
from driftfield.options import FROM_DATA, NameIn, PositiveFloat

MOST_FEATURES = 16  # of a category


class TableNetwork(nn.Module):
    """Numbers: out = W h [x, embedding(label), position(x), known]; categories: logits = V g [known].

    ``known`` is what the condition says of a row: the values of given numbers, which numbers are given and which are
    absent, and features of each category (:class:`Features`). The two perceptrons h and g share no weight.

    Args:
        dimensions: D, the number of numbers.
        levels: how many levels each of the K categories has.
        width, depth: units of a hidden layer, and number of hidden layers, of each perceptron.
        activation: "silu", "gelu", "relu", "softplus" or "tanh".
        components: of a mixture of Gaussians and categories, to which the perceptrons add; 0 for none.
        dropout: fraction of hidden units that are left out at random in training (Srivastava et al. 2014).
        frequencies: of the positional features of x, as in :class:`~driftfield.networks.mlp.MLP`.

    Attributes:
        label: the form in which it takes the time.
    """

    label = "log-sigma"

    def __init__(
        self,
        dimensions: int,
        levels: Sequence[int] = (),
        width: Annotated[int | None, Field(ge=1, description="units of each hidden layer")] = None,
        depth: Annotated[int | None, Field(ge=1, description="number of hidden layers")] = None,
        activation: Annotated[str, NameIn("activation", ACTIVATIONS)] = "silu",
        frequencies: Annotated[
            tuple[PositiveFloat, ...], Field(description="of positional features; [] for none"), FROM_DATA
        ] = (),
        components: Annotated[
            int, Field(ge=0, description="of the mixture that it starts from; 0 for none"), FROM_DATA
        ] = 0,
        dropout: Annotated[
            float, Field(ge=0, lt=1, description="fraction of hidden units that are left out in training"), FROM_DATA
        ] = 0.0,
    ) -> None:
        super().__init__()
        width, depth = 128 if width is None else width, 3 if depth is None else depth
        self.dimensions, self.levels = dimensions, tuple(levels)
        self.embedding = Sine()
        eye = torch.eye(dimensions, dtype=torch.float32)
        self.position = Position(tuple(frequencies), eye) if frequencies else None
        self.mixture = TableMixture(components, dimensions, levels) if components else None
        self.of_numbers, self.of_categories = Features(levels), Features(levels)
        known = 3 * dimensions + self.of_numbers.size
        features = dimensions + self.embedding.size + 2 * dimensions * len(frequencies) + known
        self.hidden = _perceptron([features, *[width] * depth], activation, dropout)
        self.category_hidden = _perceptron([known, *[width] * depth], activation, dropout)
        self.out, self.category_out = _zero_linear(width, dimensions), _zero_linear(width, sum(levels))

    def forward(self, x: Tensor, label: Tensor, cond: Tensor) -> Tensor:
        """x (B, D), label () or (B,), cond: packed cells (B, 2 D + K) -> (B, D)."""
        cells, label = Cells.unpacked(cond, self.dimensions), label.reshape(-1)
        features = [x, self.embedding(label).expand(len(x), -1), *_known(cells), self.of_numbers(cells.codes)]
        if self.position is not None:
            features.append(self.position(x, label))
        output: Tensor = self.out(self.hidden(torch.cat(features, 1)))
        return output

    def logits(self, cells: Cells) -> list[Tensor]:
        """For each category (B, levels): its unnormalised log-probabilities given what else is known."""
        features = torch.cat([*_known(cells), self.of_categories(cells.codes)], 1)
        found: Tensor = self.category_out(self.category_hidden(features))
        return list(torch.split(found, list(self.levels), 1))


class Features(nn.Module):
    """Features of K categories, side by side: codes (B, K), -1 for unknown -> (B, size).

    Of up to 16 levels each has a feature that is 0 or 1, all 0 for an unknown one; of more, they are learned.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.size = sum(min(MOST_FEATURES, count) for count in levels)
        self.tables = nn.ModuleDict(
            {
                str(k): nn.Embedding(count + 1, MOST_FEATURES, dtype=torch.float32)
                for k, count in enumerate(levels)
                if count > MOST_FEATURES
            }
        )

    def forward(self, codes: Tensor) -> Tensor:
        """(B, size)."""
        found = [codes.new_zeros((len(codes), 0), dtype=torch.float32)]
        for k, count in enumerate(self.levels):
            if count > MOST_FEATURES:
                found.append(self.tables[str(k)](codes[:, k] + 1))
            else:
                found.append(nn.functional.one_hot(codes[:, k] + 1, count + 1)[:, 1:].float())
        return torch.cat(found, 1)


def _known(cells: Cells) -> tuple[Tensor, Tensor, Tensor]:
    """What is known of the numbers: values of given ones, and which are given and absent; (B, D) each."""
    given = cells.given
    return torch.where(given, cells.values, 0.0), given.float(), (cells.state == ABSENT).float()


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer of zeros, also with no outputs, which torch does not initialise without a warning."""
    layer = nn.Linear(inputs, outputs or 1, dtype=torch.float32)
    layer.weight = nn.Parameter(torch.zeros(outputs, inputs, dtype=torch.float32))
    layer.bias = nn.Parameter(torch.zeros(outputs, dtype=torch.float32))
    layer.out_features = outputs
    return layer


def _perceptron(sizes: Sequence[int], activation: str, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise(sizes):
        layers += [
            nn.Linear(size, following, dtype=torch.float32),
            ACTIVATIONS[activation](),
            *[nn.Dropout(dropout)] * (dropout > 0),
        ]
    return nn.Sequential(*layers)
