"""Which tests run in one process of `./run test`: those that share a running service, so that it starts only once."""

from typing import override

from xdist.scheduler import LoadScopeScheduling

UNITS = (
    "tests/app/rebalancing/",
    "tests/chaos/",
    "tests/app/observability/",
    "tests/app/orders/",
    "tests/persistence/",
    "tests/app/http/",
    "tests/system/test_serve.py",
    "tests/app/pages/",
    "tests/benchmarks/test_load.py",
    "tests/app/",
    "tests/system/",
    "tests/deployment/",
)
"""Prefixes of tests that stay together, those that run longest first; of the rest, each file stays together."""


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
    return next((prefix for prefix in UNITS if nodeid.startswith(prefix)), nodeid.partition("::")[0])


def longest_first(nodeid: str) -> int:
    """Return the place of a test's unit among those that start first."""
    name = unit(nodeid)
    return UNITS.index(name) if name in UNITS else len(UNITS)
