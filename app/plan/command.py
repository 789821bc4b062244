"""`order-generation plan`: the same command as `python -m solver`, with the same arguments, output and exit codes."""

import sys

import click

from solver.files import ARGUMENTS, METAVARS, Request, run


@click.command(
    short_help="Compute a rebalance from files.",
    help=(
        "Compute the trades that bring holdings to their targets, with a proof that none are better. It needs no"
        " database and no other service.\n\n"
        f"HOLDINGS is a {ARGUMENTS['HOLDINGS']}\n\nTARGETS is a {ARGUMENTS['TARGETS']}\n\n"
        "The exit code is 0 if there is a plan, and 1 if something was rejected, with the reason."
    ),
)
@click.argument("holdings")
@click.argument("targets")
@click.option("--prices", metavar=METAVARS["--prices"], help=ARGUMENTS["--prices"])
@click.option("--cash", metavar=METAVARS["--cash"], help=ARGUMENTS["--cash"])
@click.option("--rules", metavar=METAVARS["--rules"], help=ARGUMENTS["--rules"])
@click.option("--out", metavar=METAVARS["--out"], help=ARGUMENTS["--out"])
def plan(
    *, holdings: str, targets: str, prices: str | None, cash: str | None, rules: str | None, out: str | None
) -> None:
    """Run the command of the solver's distribution."""
    request = Request(holdings=holdings, targets=targets, prices=prices, cash=cash, rules=rules, out=out)
    sys.exit(run(request))
