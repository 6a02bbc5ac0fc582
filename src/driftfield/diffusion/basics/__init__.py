"""Part I: what everybody needs. Its chapters, in reading order, are listed in :mod:`driftfield.diffusion`."""
