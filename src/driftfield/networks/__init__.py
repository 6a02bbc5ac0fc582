"""Networks: plain modules (x, label, cond) -> tensor (B, outputs)."""

from collections.abc import Callable

from torch import nn

from driftfield.networks.conditional import ConditionalMLP
from driftfield.networks.mlp import ACTIVATIONS, EMBEDDINGS, MLP

NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "conditional-mlp": ConditionalMLP}

__all__ = ["ACTIVATIONS", "EMBEDDINGS", "MLP", "NETWORKS", "ConditionalMLP"]
