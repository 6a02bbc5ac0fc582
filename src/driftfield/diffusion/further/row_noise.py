"""Noise that belongs to rows: the noise of row i depends on the seed and on i's block alone."""

import torch
from torch import Tensor

BLOCK = 4_096


class BlockNoise:
    """Standard normal noise for rows ``start`` .. ``start + n - 1`` of a sample.

    Rows come in blocks of 4,096, each with a generator of its own seeded by (seed, block). So n rows in one chunk, in
    ten, or on ten machines meet the same noise. Each call returns a fresh (n, *shape) draw.

    Args:
        seed: of the whole sample.
        start, n: the rows of this chunk.
        shape: of one row.
        device: where the noise goes; it is drawn on the CPU, so that devices agree.
    """

    def __init__(self, seed: int, start: int, n: int, shape: tuple[int, ...], device: torch.device) -> None:
        self.first, self.n, self.shape, self.device = start % BLOCK, n, shape, device
        blocks = range(start // BLOCK, (start + n - 1) // BLOCK + 1)
        self.generators = [torch.Generator().manual_seed(_mix(seed, block)) for block in blocks]

    def __call__(self) -> Tensor:
        """A fresh draw; (n, *shape) float32."""
        draws = [torch.randn(BLOCK, *self.shape, generator=generator) for generator in self.generators]
        return torch.cat(draws)[self.first : self.first + self.n].to(self.device)


def _mix(seed: int, block: int) -> int:
    """One 63-bit seed from two numbers, by the mixing function of SplitMix64 (Steele et al. 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + block + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
