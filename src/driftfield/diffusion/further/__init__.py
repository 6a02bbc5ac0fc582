"""Part II: further subjects. Its chapters are listed in :mod:`driftfield.diffusion`."""
