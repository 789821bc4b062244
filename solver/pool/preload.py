"""What the fork server imports once, for all solver processes to share; nothing else may import this module."""

import os
import signal
from importlib import import_module

# Ctrl-C in a terminal reaches the whole process group, but only the server ends solver processes.
signal.signal(signal.SIGINT, signal.SIG_IGN)

# Each solver process uses one core, and threads do not survive the fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Requests and probes do not wait behind solves, and at this priority a flood of requests does not starve the solves.
os.nice(10)

# Standard output belongs to the log lines of the server; what a solver prints goes to standard error.
os.dup2(2, 1)

for module in ("solver.pool.worker", "solver.cascade", "solver.milp", "highspy"):
    import_module(module)
