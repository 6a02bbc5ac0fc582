"""The multilayer perceptron, for points and tables."""

import itertools
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from driftfield.diffusion.further.table_mixture import TableMixture
from driftfield.errors import InputError, unknown_name
from driftfield.networks.embeddings import Concat, Position, Sine, sine_time
from driftfield.options import FROM_DATA, NameIn, Positive, PositiveFloat

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
EMBEDDINGS: dict[str, Callable[[], Sine | Concat]] = {"sine": Sine, "sine-time": sine_time, "concat": Concat}
CLASS_FEATURES = 16


def zero_init(hidden: nn.Module, out: nn.Linear) -> None:
    """A zero output layer, which makes an untrained denoiser with the EDM head the best linear one."""
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)


def torch_init(hidden: nn.Module, out: nn.Linear) -> None:
    """PyTorch's default: uniform within 1 / sqrt(inputs)."""


def xavier_init(hidden: nn.Module, out: nn.Linear) -> None:
    """Uniform weights (Glorot, Bengio 2010, eq. 16), biases of 0.01."""
    for layer in (*hidden.modules(), out):
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(layer.bias, 0.01)


INITS: dict[str, Callable[[nn.Module, nn.Linear], None]] = {
    "zero": zero_init,
    "torch": torch_init,
    "xavier": xavier_init,
}


class MLP(nn.Module):
    """h = act(W_1 [x, embedding(label), position(x), class]), then further hidden layers and a linear output.

    Args:
        dimensions: D, the number of columns.
        width, depth: units of a hidden layer, and number of hidden layers; 64 and 3 by default.
        widths: units of each hidden layer, in place of width and depth.
        activation: "silu", "gelu", "relu", "softplus" or "tanh".
        embedding: "sine", "sine-time" or "concat", of the label that the denoiser passes.
        frequencies: the k_j of the positional features of x; none by default. They need a denoiser
            with scaled input and the label log(sigma / alpha).
        directions: (D, M) unit columns, along which the positional features are taken; the axes by default.
        init: "zero" (of the output layer), "torch" or "xavier".
        outputs: size of the output; D by default.
        classes: number of class labels; each of them, and the absence of a label, has learned features.
        components: of a mixture of Gaussians, to which the network adds; 0 for none.

    Attributes:
        label: the form in which it takes the time, "log-sigma" or "t".

    Raises:
        InputError: a size below 1, an unknown name, or widths given with a width or depth.
    """

    def __init__(
        self,
        dimensions: int,
        width: Annotated[int | None, Field(ge=1, description="units of each hidden layer")] = None,
        depth: Annotated[int | None, Field(ge=1, description="number of hidden layers")] = None,
        activation: Annotated[str, NameIn("activation", ACTIVATIONS)] = "silu",
        embedding: Annotated[str, NameIn("embedding", EMBEDDINGS), Field(description="of the time")] = "sine",
        frequencies: Annotated[
            tuple[PositiveFloat, ...], Field(description="of positional features; [] for none"), FROM_DATA
        ] = (),
        directions: Tensor | None = None,
        widths: Annotated[
            tuple[Positive, ...] | None, Field(description="of each hidden layer, in place of width and depth")
        ] = None,
        init: Annotated[str, NameIn("init", INITS), Field(description="of the weights")] = "zero",
        outputs: int | None = None,
        classes: int = 0,
        components: Annotated[
            int, Field(ge=0, description="of the mixture that it starts from; 0 for none"), FROM_DATA
        ] = 0,
    ) -> None:
        super().__init__()
        if widths is not None and (width is not None or depth is not None):
            raise InputError("A network takes widths, or a width and a depth, but not both.")
        width, depth = 64 if width is None else width, 3 if depth is None else depth
        widths = (width,) * depth if widths is None else tuple(widths)
        if not widths or min(dimensions, *widths) < 1:
            raise InputError(f"A network needs sizes of at least 1, got {dimensions} columns and widths {widths}.")
        for what, name, table in (
            ("activation", activation, ACTIVATIONS),
            ("embedding", embedding, EMBEDDINGS),
            ("init", init, INITS),
        ):
            if name not in table:
                raise unknown_name(what, name, table)
        self.embedding = EMBEDDINGS[embedding]()
        self.label = self.embedding.label
        directions = torch.eye(dimensions, dtype=torch.float32) if directions is None else directions
        self.position = Position(tuple(frequencies), directions) if frequencies else None
        self.mixture = TableMixture(components, dimensions, ()) if components else None
        self.classes = nn.Embedding(classes + 1, CLASS_FEATURES, dtype=torch.float32) if classes else None
        features = dimensions + self.embedding.size + 2 * directions.shape[1] * len(frequencies)
        sizes = [features + CLASS_FEATURES * (classes > 0), *widths]
        layers: list[nn.Module] = []
        for size, following in itertools.pairwise(sizes):
            layers += [nn.Linear(size, following, dtype=torch.float32), ACTIVATIONS[activation]()]
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(widths[-1], outputs or dimensions, dtype=torch.float32)
        INITS[init](self.hidden, self.out)

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        """x (B, D), label () or (B,), cond (B,) class numbers or None -> (B, outputs); class -1 means no label."""
        label = label.reshape(-1)  # (B,) or (1,)
        features = [x, self.embedding(label).expand(len(x), -1)]
        if self.position is not None:
            features.append(self.position(x, label))
        if self.classes is not None:
            features.append(class_features(self.classes, cond, len(x)))
        output: Tensor = self.out(self.hidden(torch.cat(features, 1)))
        return output


def class_features(table: nn.Embedding, cond: Tensor | None, n: int) -> Tensor:
    """Rows of the table for class numbers (B,); its last row for -1, and for every row without cond."""
    none = table.num_embeddings - 1
    if cond is None:
        return table.weight[none].expand(n, -1)
    features: Tensor = table(torch.where(cond < 0, none, cond))
    return features
