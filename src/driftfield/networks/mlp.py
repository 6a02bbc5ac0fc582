"""The multilayer perceptron: enough for points and tables."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from driftfield.errors import InputError, unknown_name
from driftfield.networks.embeddings import Concat, Position, Sine

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
EMBEDDINGS: dict[str, Callable[[], Sine | Concat]] = {"sine": Sine, "concat": Concat}


class MLP(nn.Module):
    """h = act(W_1 [x, embedding(label), position(x)]), then ``depth - 1`` hidden layers and a linear output.

    The output layer starts at zero, so that an untrained denoiser with the EDM head is the best linear one.

    Args:
        dimensions: D, the number of columns.
        width, depth: units of a hidden layer, and number of hidden layers.
        activation: "silu", "gelu", "relu", "softplus" or "tanh".
        embedding: "sine" or "concat", of the label that the denoiser passes.
        frequencies: the k_j of the positional features of x; none by default. They take x and the label as a denoiser
            with scaled input and the label log(sigma / alpha) gives them.
        directions: (D, M) unit columns, along which the positional features are taken; the axes by default.

    Raises:
        InputError: a size below 1, or an unknown name.
    """

    def __init__(
        self,
        dimensions: int,
        width: int = 64,
        depth: int = 3,
        activation: str = "silu",
        embedding: str = "sine",
        frequencies: tuple[float, ...] = (),
        directions: Tensor | None = None,
    ) -> None:
        super().__init__()
        if min(dimensions, width, depth) < 1:
            raise InputError(f"A network needs sizes of at least 1, but they are {dimensions}, {width} and {depth}.")
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        if embedding not in EMBEDDINGS:
            raise unknown_name("embedding", embedding, EMBEDDINGS)
        self.embedding = EMBEDDINGS[embedding]()
        directions = torch.eye(dimensions) if directions is None else directions
        self.position = Position(tuple(frequencies), directions) if frequencies else None
        inputs = dimensions + self.embedding.size + 2 * directions.shape[1] * len(frequencies)
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [nn.Linear(inputs if i == 0 else width, width), ACTIVATIONS[activation]()]
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(width, dimensions)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        """x (B, D), label () or (B,) -> (B, D)."""
        label = label.reshape(-1)  # (B,) or (1,)
        features = [x, self.embedding(label).expand(len(x), -1)]
        if self.position is not None:
            features.append(self.position(x, label))
        output: Tensor = self.out(self.hidden(torch.cat(features, 1)))
        return output
