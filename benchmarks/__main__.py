"""`./run bench`: one benchmark by its name, or without a name the ones that say the most in a few minutes."""

import importlib

import click

MODULES = {
    "solver": "benchmarks.solver.__main__",
    "knapsacks": "benchmarks.solver.knapsacks",
    "checkouts": "benchmarks.solver.checkouts",
    "end_to_end": "benchmarks.end_to_end",
    "breakdown": "benchmarks.breakdown",
    "limit": "benchmarks.limit",
    "scale": "benchmarks.scale",
    "fairness": "benchmarks.fairness",
    "orders": "benchmarks.orders",
    "paging": "benchmarks.paging",
    "reading": "benchmarks.reading",
    "instances": "benchmarks.instances",
    "soak": "benchmarks.soak",
    "sizing": "benchmarks.sizing",
    "autoscaling": "benchmarks.autoscaling",
}
"""By name; each has a command `main`, and is imported only when it is used."""


class Benchmarks(click.Group):
    """The benchmarks by name, or all that `suite` runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        del ctx
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        del ctx
        if cmd_name not in MODULES:
            return None
        command = importlib.import_module(MODULES[cmd_name]).main
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Benchmarks, invoke_without_command=True, context_settings={"max_content_width": 120})
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown (if no benchmark is named).")
@click.pass_context
def suite(context: click.Context, *, markdown: bool) -> None:
    """Run one benchmark; without a name, run a short form of solver, then end_to_end and breakdown."""
    if context.invoked_subcommand is not None:
        return
    benchmarks = Benchmarks()
    for name, options in (("solver", {"realistic_count": 3, "hard_count": 1}), ("end_to_end", {}), ("breakdown", {})):
        click.echo(f"\n{name}\n", err=True)
        command = benchmarks.get_command(context, name)
        assert command is not None
        context.invoke(command, markdown=markdown, **options)


if __name__ == "__main__":
    suite(prog_name="./run bench")
