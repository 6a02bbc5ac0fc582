"""Part I: what everybody needs."""
