"""What the fork server imports once, for all solver processes to share; nothing else may import this module."""

import os
import signal
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# Ctrl-C in a terminal reaches the whole process group, but only the server ends solver processes.
signal.signal(signal.SIGINT, signal.SIG_IGN)

# Each solver process uses one core, and threads do not survive the fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Requests and probes do not wait behind solves, and at this priority a flood of requests does not starve the solves.
os.nice(10)

# Standard output belongs to the log lines of the server; what a solver prints goes to standard error.
os.dup2(2, 1)

_STATISTICS = "scipy.stats"


class _Statistics(ModuleType):
    """Stands in for `scipy.stats` while CVXPY is imported; any use of it imports the real module.

    CVXPY imports one function of it, for an atom that no portfolio uses, and that import would be two fifths of the
    processor time of a start.
    """

    def entropy(self, *arguments: Any, **options: Any) -> Any:
        """Return what the real function returns."""
        return _statistics().entropy(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_statistics(), name)


def _statistics() -> ModuleType:
    if isinstance(sys.modules.get(_STATISTICS), _Statistics):
        del sys.modules[_STATISTICS]
    return import_module(_STATISTICS)


sys.modules.setdefault(_STATISTICS, _Statistics(_STATISTICS))
for module in ("solver.pool.worker", "solver.cascade", "solver.milp", "highspy"):
    import_module(module)
if isinstance(sys.modules[_STATISTICS], _Statistics):
    del sys.modules[_STATISTICS]
