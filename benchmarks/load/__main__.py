"""The command: puts a profile's load on a stack of its own, or on a service that runs already, and judges it.

./run load [flow|mixed|ramp|search]
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from rich.console import Console

from app.commands.stack import StackFailed, running_stack
from app.http.dialect import Dialect
from benchmarks.load.market import Upstreams
from benchmarks.load.plan import Profile
from benchmarks.load.plot import draw_ramp
from benchmarks.load.report import show_generator, show_kinds, show_steps, show_verdict
from benchmarks.load.runs import Run, RunFailed, Target, run_locust
from benchmarks.load.search import search
from benchmarks.load.service_level import REBALANCES_A_SECOND, Judged, judge
from persistence.embedded import MongodUnavailable

OUTPUT = Path("out/load")
WIDTH = 110
"""Columns that the tables need, also if the terminal does not report its width."""
SECONDS = {Profile.FLOW: 30, Profile.MIXED: 30, Profile.RAMP: 10, Profile.SEARCH: 10}


@click.command(context_settings={"show_default": True})
@click.argument("profile", type=click.Choice(Profile, case_sensitive=False), default=Profile.FLOW)
@click.option(
    "--rate", default=REBALANCES_A_SECOND, help="Rebalances a second; in a ramp or a search, those of the first step."
)
@click.option(
    "--seconds",
    type=click.IntRange(2),
    show_default="30, or 10",
    help="Measured time; in a ramp or a search, that of each step.",
)
@click.option("--dialect", type=click.Choice(Dialect, case_sensitive=False), default=Dialect.STANDARD)
@click.option("--host", help="Address of a service that is already running; requires the next three.")
@click.option("--security-service-url", envvar="SECURITY_SERVICE_URL", default="", help="Its Security Service.")
@click.option("--pricing-service-url", envvar="PRICING_SERVICE_URL", default="", help="Its Pricing Service.")
@click.option("--portfolio-service-url", envvar="PORTFOLIO_SERVICE_URL", default="", help="Its Portfolio Service.")
def main(
    profile: Profile,
    rate: float,
    seconds: int | None,
    dialect: Dialect,
    host: str | None,
    security_service_url: str,
    pricing_service_url: str,
    portfolio_service_url: str,
) -> None:
    """Send load to the service, and compare it with the service level.

    The exit code is 0 if the level was kept at the requested rate, 1 if it was not, and 2 if nothing was measured.
    """
    if host and not all((security_service_url, pricing_service_url, portfolio_service_url)):
        raise click.UsageError("--host needs the URLs of the security, the pricing and the portfolio service")
    console = Console(highlight=False, width=max(WIDTH, Console().width))
    # A request to stop is an interrupt like Ctrl-C, so that every part is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    upstreams = Upstreams(security_service_url, pricing_service_url, portfolio_service_url)
    target = nullcontext(Target(host, dialect, upstreams)) if host else own_stack(console, dialect)
    try:
        with target as reached:
            load = Load(console, reached, seconds or SECONDS[profile])
            kept = load.search(rate) if profile is Profile.SEARCH else load.run(profile, rate)
    except (MongodUnavailable, StackFailed, RunFailed) as failure:
        console.print(str(failure), style="red", markup=False)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise SystemExit(2) from None
    raise SystemExit(0 if kept else 1)


@contextmanager
def own_stack(console: Console, dialect: Dialect) -> Iterator[Target]:
    """Run MongoDB, the simulator and the service with its default settings, in a dialect."""
    log = OUTPUT / "service.log"
    log.unlink(missing_ok=True)
    with console.status("") as status:
        settings = {"API_DIALECT": str(dialect)}
        with running_stack(log=log, settings=settings, on_step=status.update) as stack:
            status.stop()
            urls = stack.simulator
            yield Target(stack.service_url, dialect, Upstreams(urls.security, urls.pricing, urls.portfolio))


class Load:
    """Runs profiles against one target; `seconds` is how long a step is judged."""

    def __init__(self, console: Console, target: Target, seconds: int) -> None:
        self._console = console
        self._target = target
        self._seconds = seconds

    def run(self, profile: Profile, rate: float) -> bool:
        """Run a profile and show what came of it; return whether the service level was kept at this rate."""
        run, judged = self._measure(profile, rate)
        show_kinds(self._console, run)
        if profile is Profile.RAMP:
            show_steps(self._console, judged)
            picture = OUTPUT / "ramp.png"
            draw_ramp(run, picture)
            self._console.print(f"Plotted in {picture}")
        show_generator(self._console, run)
        # A ramp goes beyond what is promised; it has to begin within the service level, and to come back to it.
        decisive = [each for each in judged if each.step.rate == rate]
        show_verdict(self._console, decisive)
        return not any(each.broken for each in decisive)

    def search(self, first: float) -> bool:
        """Find the highest rate of the flow that keeps the level; return whether there is one."""

        def measure(rate: float) -> Judged:
            run, (judged,) = self._measure(Profile.SEARCH, rate)
            verdict = ", ".join(judged.broken) or "held"
            self._console.print(f"{rate:g} rebalances/s: {verdict} (Locust took {run.generator_cpu:.2f} of a core)")
            return judged

        measured = list(search(measure, first))
        show_steps(self._console, sorted(measured, key=lambda each: each.step.rate))
        held = [each.step.rate for each in measured if not each.broken]
        if held:
            self._console.print(f"The highest rate that held: [bold]{max(held):g}[/bold] rebalances/s")
        else:
            self._console.print(f"[red]The service level does not hold at {first:g} rebalances/s.[/red]")
        return bool(held)

    def _measure(self, profile: Profile, rate: float) -> tuple[Run, list[Judged]]:
        with self._console.status(f"Loading with {profile} at {rate:g} rebalances a second"):
            run = run_locust(profile, self._target, OUTPUT, rate=rate, seconds=self._seconds)
        return run, [judge(step, run.calls) for step in run.steps]


if __name__ == "__main__":
    main(prog_name="./run load")
