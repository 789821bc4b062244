"""`python -m solver`: a rebalance from files."""

import sys

from solver.files import main

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a process that the signal ended."""


def run_and_exit() -> None:
    """Run the command and exit with its code."""
    try:
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    run_and_exit()
