"""Torch's modes: what the caller has set changes nothing here.

Weights, densities and bounds need derivatives, also where the caller is within ``torch.no_grad`` or
``torch.inference_mode``; and what is made within the latter could never be trained or differentiated.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

own_modes = torch.inference_mode(False)  # a decorator: the function runs with gradients and outside inference mode


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run the block with n threads of torch; for little work, one is faster than several that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
