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

DEFERRED = {"scipy.stats": {"entropy"}, "scipy.optimize": set()}
"""Modules that CVXPY imports for parts of it that no portfolio uses, half of the time of a start; their functions that
it imports by name."""


class _Deferred(ModuleType):
    """Stands in for a module while CVXPY is imported; any use of it imports the real module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in DEFERRED[self.__name__]:
            return getattr(self._real(), name)

        def deferred(*arguments: Any, **options: Any) -> Any:
            return getattr(self._real(), name)(*arguments, **options)

        return deferred

    def _real(self) -> ModuleType:
        self.remove()
        return import_module(self.__name__)

    def remove(self) -> None:
        """Have the next import load the real module."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


stand_ins = [_Deferred(name) for name in DEFERRED if name not in sys.modules]
sys.modules.update({each.__name__: each for each in stand_ins})
for module in ("solver.pool.worker", "solver.cascade", "solver.milp", "highspy"):
    import_module(module)
for each in stand_ins:
    each.remove()
