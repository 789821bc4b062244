"""The command line: `order-generation serve`, `demo`, `simulator`, `plan`, `backup` and `restore`."""

import os
import sys
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from importlib.metadata import version

import click

from app.commands.backup import backup, restore
from app.errors.codes import CannotListen, InvalidSetting, InvalidSettings
from app.plan.command import plan

EXIT_WITH_STDIN = click.option(
    "--exit-with-stdin", is_flag=True, help="Stop when standard input ends, as it does when the parent process does."
)


@click.group(context_settings={"max_content_width": 120})
@click.version_option(version("globeco-order-generation-service"), message="%(version)s")
def cli() -> None:
    """GlobeCo Order Generation Service: whole-share orders that bring portfolios back to their models."""


@cli.command()
@EXIT_WITH_STDIN
def serve(*, exit_with_stdin: bool) -> None:
    """Run the service.

    Settings come from the environment; docs/settings.md lists them.
    """
    from app.commands.parent_watch import end_with_stdin  # noqa: PLC0415 - each command loads only what it needs
    from app.commands.server import read_environment, run  # noqa: PLC0415
    from app.settings import EMBEDDED  # noqa: PLC0415

    settings = read_environment()
    if exit_with_stdin:
        end_with_stdin()
    with ExitStack() as stack:
        if settings.mongodb_url == EMBEDDED:
            from persistence.embedded import EmbeddedMongod  # noqa: PLC0415

            # The worker reads its settings from the environment it inherits.
            os.environ["MONGODB_URL"] = stack.enter_context(EmbeddedMongod.start()).url
        run(settings)


@cli.command()
@click.option("--once", is_flag=True, help="Exit after the rebalance instead of staying up.")
@click.option("--orders", is_flag=True, help="Also send the orders, twice, to show that the second call sends nothing.")
def demo(*, once: bool, orders: bool) -> None:
    """Start the whole service on this machine and rebalance.

    It starts an embedded MongoDB, a simulator of the other services and the service.
    """
    try:
        from app.commands.demo import run  # noqa: PLC0415

        run(once=once, orders=orders)
    except KeyboardInterrupt:  # before there was anything to stop
        click.echo("Stopped.")


@cli.command()
@click.option(
    "--seed", default=1, show_default=True, help="The same seed creates the same securities, portfolios and prices."
)
@click.option("--portfolios", default=10_000, show_default=True, help="Number of portfolios.")
@click.option(
    "--price-spread",
    default="0.016",
    show_default=True,
    help="Standard deviation of a price as a share of its mean; 0 for fixed prices.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--first-port",
    default=0,
    show_default=True,
    help="First of consecutive ports, one for each service; 0 chooses free ports.",
)
@EXIT_WITH_STDIN
@click.option(
    "--control-help",
    is_flag=True,
    help="Describe the control API, which changes faults, holdings and prices while it runs.",
)
def simulator(
    *,
    seed: int,
    portfolios: int,
    price_spread: str,
    host: str,
    first_port: int,
    exit_with_stdin: bool,
    control_help: bool,
) -> None:
    """Run the simulator of the GlobeCo services.

    Its first line of output has their URLs as JSON.
    """
    from app.commands.parent_watch import end_with_stdin  # noqa: PLC0415
    from integrations.simulator import CONTROL_HELP, SimulatorSettings, run  # noqa: PLC0415

    if control_help:
        click.echo(CONTROL_HELP)
        return
    try:
        settings = SimulatorSettings(
            seed=seed, portfolios=portfolios, price_spread=Decimal(price_spread), host=host, first_port=first_port
        )
    except InvalidOperation:
        raise click.UsageError("--price-spread must be a number") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if exit_with_stdin:
        end_with_stdin()
    try:
        run(settings)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}: {error.strerror}") from None


cli.add_command(plan)
cli.add_command(backup)
cli.add_command(restore)


def main() -> None:
    """Run the command line; a wrong setting or a missing part ends it with one line."""
    from persistence.embedded import MongodUnavailable  # noqa: PLC0415

    try:
        cli()
    except (InvalidSetting, InvalidSettings, MongodUnavailable, CannotListen) as error:
        for line in str(error).splitlines():
            click.echo(f"order-generation: {line}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
