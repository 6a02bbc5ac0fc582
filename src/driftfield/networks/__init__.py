"""Networks: plain modules (x, label, cond) -> tensor of x's shape."""

from driftfield.networks.mlp import ACTIVATIONS, EMBEDDINGS, MLP

NETWORKS = {"mlp": MLP}

__all__ = ["ACTIVATIONS", "EMBEDDINGS", "MLP", "NETWORKS"]
