"""The command line: parses, calls the library, prints; results to stdout, everything else to stderr."""

from driftfield.cli.app import main

__all__ = ["main"]
