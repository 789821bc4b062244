"""Which tests run in one process of `./run test`: those that share a running service, so that it starts only once."""

from typing import override

from xdist.scheduler import LoadScopeScheduling

UNITS = (
    ("tests/app/http/", "tests/app/pages/", "tests/app/rebalancing/"),
    ("tests/app/",),
    ("tests/persistence/",),
    ("tests/chaos/",),
    ("tests/system/test_serve.py",),
    ("tests/system/",),
    ("tests/app/observability/",),
    ("tests/deployment/",),
    ("tests/app/orders/",),
    ("tests/solver/test_pool_failures.py",),
    ("tests/solver/test_pool_end.py",),
    ("tests/integrations/test_upstreams.py",),
    ("tests/solver/test_exactness.py",),
    ("tests/benchmarks/test_load.py",),
)
"""Prefixes of tests that stay together, those that run longest first; of the rest, each file stays together.

A test belongs to the unit that has the longest of its prefixes.
"""
_UNIT_OF = {prefix: unit for unit in UNITS for prefix in unit}


# xdist has no type annotations.
class Distribution(LoadScopeScheduling):  # type: ignore[misc]
    """Hands each process one unit after the other, in the order of the collected tests."""

    def __init__(self, config: object, log: object) -> None:
        super().__init__(config, log)
        self.config.option.loadscopereorder = False

    @override
    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def unit(nodeid: str) -> str:
    """Return the name of the unit to which a test belongs."""
    prefixes = [prefix for prefix in _UNIT_OF if nodeid.startswith(prefix)]
    return _UNIT_OF[max(prefixes, key=len)][0] if prefixes else nodeid.partition("::")[0]


def longest_first(nodeid: str) -> int:
    """Return the place of a test's unit among those that start first."""
    names = [prefixes[0] for prefixes in UNITS]
    name = unit(nodeid)
    return names.index(name) if name in names else len(names)
