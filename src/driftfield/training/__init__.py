"""Training: the defaults that data choose, the loop, its checkpoints."""
