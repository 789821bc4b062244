"""The flow in steps up and down again, each long enough, in a cluster, for an autoscaler to move."""

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from benchmarks.load.flow_users import FlowUser
from benchmarks.load.plan import Profile, steps, users
from benchmarks.load.service_level import REBALANCES_A_SECOND

__all__ = ["FlowUser", "RampShape"]

SPAWNED_A_SECOND = 100


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=float, default=REBALANCES_A_SECOND, help="rebalances a second in the first step of the ramp"
    )
    parser.add_argument("--step-seconds", type=float, default=180.0, help="length of a step of the ramp")


class RampShape(LoadTestShape):
    """The ramp's number of users at any time."""

    def tick(self) -> tuple[int, float] | None:
        """Return the step's number of users, and how fast to get there; None ends the run."""
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        now = self.get_run_time()
        for step in steps(Profile.RAMP, options.rate, options.step_seconds):
            if now < step.ends:
                return users(step.rate), SPAWNED_A_SECOND
        return None
