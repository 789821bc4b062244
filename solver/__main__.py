"""`python -m solver`: a rebalance from files."""

import sys

from solver.files import main

if __name__ == "__main__":
    sys.exit(main())
