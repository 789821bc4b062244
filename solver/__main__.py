"""`python -m solver`: a rebalance from files."""

import sys

from solver.files import main


def run_and_exit() -> None:
    """Run the command and exit with its code."""
    sys.exit(main())


if __name__ == "__main__":
    run_and_exit()
