"""Benchmarks: what the library must reach, measured; `python -m benchmarks` prints the tables."""
