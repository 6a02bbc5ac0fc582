"""Networks: plain modules (x, label, cond) -> tensor (B, outputs)."""

from collections.abc import Callable

from torch import nn

from driftfield.networks.conditional import ConditionalMLP
from driftfield.networks.mlp import ACTIVATIONS, EMBEDDINGS, MLP
from driftfield.networks.table import TableNetwork

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "conditional-mlp": ConditionalMLP,
    "table": TableNetwork,
}

__all__ = ["ACTIVATIONS", "EMBEDDINGS", "MLP", "NETWORKS", "ConditionalMLP", "TableNetwork"]
