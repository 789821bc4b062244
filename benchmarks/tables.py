"""Tables of results, for a terminal or as Markdown for the documentation."""

import sys

import click
from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

MARKDOWN_OPTION = click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
NARROWEST = 200
"""Columns of a table that does not go to a terminal."""

progress = Console(stderr=True)
"""Where a benchmark says what it is doing; its tables alone go to standard output."""


def table(title: str, first: str, *headings: str) -> Table:
    """Create an empty table; the first column is text, the others are numbers."""
    empty = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    empty.add_column(first)
    for heading in headings:
        empty.add_column(heading, justify="right")
    return empty


def show(*shown: Table | str, markdown: bool) -> None:
    """Print tables, and sentences between them."""
    console = Console(width=None if sys.stdout.isatty() else NARROWEST, highlight=False)
    for each in shown:
        if markdown and isinstance(each, Table):
            title, each.title, each.box, each.pad_edge = each.title, None, MARKDOWN, True
            with console.capture() as rows:
                console.print(each)
            print(f"\n{title}:\n\n{rows.get().strip()}")
        elif isinstance(each, Table):
            console.print(each)
        else:
            print(f"\n{each}" if markdown else each)


def milliseconds(seconds: float) -> str:
    """Format seconds as a cell in milliseconds, with a precision that can be read."""
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    """Format a ratio as a cell."""
    return f"{value:,.0f} x" if value >= 100 else f"{value:.1f} x" if value >= 10 else f"{value:.2f} x"
