"""The command line: parses, calls the library, prints; results to stdout, everything else to stderr."""

from driftfield.cli.entry import main

__all__ = ["main"]
