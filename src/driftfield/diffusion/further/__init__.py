"""Part II: for whoever goes on. Its chapters are listed in :mod:`driftfield.diffusion`."""
