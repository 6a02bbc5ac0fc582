"""Noise for numbered rows: that of row i depends only on the seed, the purpose and i, not on the size of the batch."""

import torch
from torch import Tensor

from driftfield.seeds import derive

BLOCK = 4_096
SAMPLES = "samples"  # the purpose of the noise that samples are made from


class BlockNoise:
    """Standard normal noise for rows ``start`` .. ``start + n - 1``.

    Each block of 4,096 rows has its own generator, seeded by (seed, purpose, block). So n rows get the same noise in
    one chunk, in ten, or on ten machines. Each call returns a fresh (n, *shape) draw.

    Args:
        seed: of the whole sample.
        purpose: what the noise is for; the noise of two purposes is independent. :data:`SAMPLES` has its own formula
            for seeds, so that published seeds keep their rows.
        start, n: the rows of this chunk.
        shape: of one row.
        device: where the noise is needed; it is drawn on the CPU, so that all devices get the same.

    Raises:
        InputError: a negative seed, for any purpose other than samples.
    """

    def __init__(
        self, seed: int, purpose: str, start: int, n: int, shape: tuple[int, ...], device: torch.device
    ) -> None:
        self.first, self.n, self.shape, self.device = start % BLOCK, n, shape, device
        blocks = range(start // BLOCK, (start + n - 1) // BLOCK + 1)
        seeds = [_mix(seed, block) if purpose == SAMPLES else derive(seed, purpose, block) for block in blocks]
        self.generators = [torch.Generator().manual_seed(own) for own in seeds]

    def __call__(self) -> Tensor:
        """A fresh draw; (n, *shape) float32."""
        shape = (BLOCK, *self.shape)
        draws = [torch.randn(shape, generator=each, dtype=torch.float32) for each in self.generators]
        return torch.cat(draws)[self.first : self.first + self.n].to(self.device)


def _mix(seed: int, block: int) -> int:
    """One 63-bit seed from two numbers, by the mixing function of SplitMix64 (Steele et al. 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + block + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
