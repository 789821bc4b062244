"""What the fork server imports once, for all solver processes to share; nothing else may import this module."""

import os
import signal
from importlib import import_module

# Ctrl-C reaches the whole process group of a terminal. How solving ends is the server's decision.
signal.signal(signal.SIGINT, signal.SIG_IGN)

# One solver process is meant for one core, and threads do not survive the fork anyway.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Requests and probes shall not wait their turn behind solves; nor shall a flood of requests starve the solves.
os.nice(10)

# Standard output is for whom the server writes it. What a solver prints goes where complaints go.
os.dup2(2, 1)

for module in ("solver.pool.worker", "solver.cascade", "solver.milp", "highspy"):
    import_module(module)
