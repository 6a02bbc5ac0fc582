"""Torch's modes: what the caller has set changes nothing here.

Weights, densities and bounds need derivatives, also where the caller is within ``torch.no_grad`` or
``torch.inference_mode``; and what is made within the latter could never be trained or differentiated.
"""

import torch

own_modes = torch.inference_mode(False)  # a decorator: the function runs with gradients and outside inference mode
