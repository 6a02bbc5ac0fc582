"""``python -m driftfield``: the command line."""

from driftfield.cli import main

if __name__ == "__main__":
    main()
