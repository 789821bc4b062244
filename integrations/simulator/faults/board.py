"""Which faults are in force, and which of them hit the call that just came."""

from random import Random

from integrations.simulator.faults.kinds import CallFault, Delay, Fault
from integrations.simulator.settings import Service


class FaultBoard:
    """The faults of each service, in the order in which they were injected."""

    def __init__(self, seed: int) -> None:
        """Begin with none; rates are drawn from the seed."""
        self._random = Random(f"faults of {seed}")  # noqa: S311 - reproducible, not secret
        self._given: dict[Service, tuple[Fault, ...]] = dict.fromkeys(Service, ())
        self._armed: dict[Service, tuple[_Armed, ...]] = dict.fromkeys(Service, ())

    def put(self, service: Service, faults: tuple[Fault, ...]) -> None:
        """Replace a service's faults; none heals it."""
        self._given[service] = faults
        self._armed[service] = tuple(_Armed(fault) for fault in faults if isinstance(fault, CallFault))

    def given(self, service: Service) -> tuple[Fault, ...]:
        """Return a service's faults as they were injected, used up or not."""
        return self._given[service]

    def strike(self, service: Service, route: str) -> tuple[CallFault, ...]:
        """Return the faults that hit this call: any delays, then at most one of another kind."""
        struck: list[CallFault] = []
        for armed in self._armed[service]:
            if armed.hits(route, self._random):
                struck.append(armed.fault)
                if not isinstance(armed.fault, Delay):
                    break
        return tuple(struck)


class _Armed:
    """A fault with the count of the calls it met."""

    def __init__(self, fault: CallFault) -> None:
        self.fault = fault
        self._met = 0

    def hits(self, route: str, random: Random) -> bool:
        fault = self.fault
        if fault.route not in (None, route) or (fault.rate < 1 and random.random() >= fault.rate):
            return False
        if fault.calls is None:
            return True
        place = self._met % (fault.calls + fault.pause) if fault.pause else self._met
        self._met += 1
        return place < fault.calls
