"""A rebalance from files: what `python -m solver` and `order-generation plan` do."""

import argparse
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec
from msgspec import Struct

from solver.files.document import document_of, to_json
from solver.files.holdings import Holdings, read_holdings
from solver.files.inputs import Inputs, combine
from solver.files.numerals import NotNumber, read_numeral
from solver.files.prices import Prices, read_prices
from solver.files.problems import Faults, InvalidFile, SeveralFaults, shown
from solver.files.report import render_page
from solver.files.targets import Targets, read_targets
from solver.files.terminal import Column, table, terminal_width, wrapped
from solver.files.text import read_table_text, read_text
from solver.files.writing import write_completely
from solver.planning.exact import money, plain
from solver.planning.plan import Plan, percent, proof_sentence
from solver.planning.rebalancing import rebalance
from solver.planning.rule_input import rules_from_json
from solver.rules import InvalidRules, Rules, Unpriced

FORMATS = (".csv", ".json", ".html")
MOST_FAULTS = 20
"""What is reported of files with more faults than a person reads."""
REJECTED = 1
"""Exit code of every rejection; a wrong command line has 2, as usual."""


class Request(Struct, frozen=True):
    """The arguments of the command, as the user wrote them."""

    holdings: str
    targets: str
    prices: str | None = None
    cash: str | None = None
    rules: str | None = None
    out: str | None = None


class Rejected(ValueError):
    """An argument cannot be used; the message names it."""


def run(request: Request, output: TextIO | None = None, errors: TextIO | None = None) -> int:
    """Read the files, report how they were read, compute and print the plan, and write it if a file is named.

    Returns:
        The exit code: 0, or 1 if anything is rejected; then nothing is written and `errors` has the reason.
    """
    # A process that was started without these streams has None.
    output, errors = output or sys.stdout or io.StringIO(), errors or sys.stderr or io.StringIO()
    for stream in (output, errors):
        # A name that the terminal cannot show must not end the command.
        with suppress(AttributeError, ValueError):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
    try:
        _run(request, output)
    except ValueError as error:
        with suppress(OSError):
            output.flush()
        for line in _reported(error):
            print(f"error: {line}", file=errors)
        return REJECTED
    return 0


def _reported(error: ValueError) -> Iterator[str]:
    faults = error.faults if isinstance(error, SeveralFaults) else (error,)
    yield from map(str, faults[:MOST_FAULTS])
    if len(faults) > MOST_FAULTS:
        yield f"and {len(faults) - MOST_FAULTS:,} more"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `python -m solver`."""
    parser = argparse.ArgumentParser(
        prog="python -m solver",
        description="Compute the trades that bring holdings to their targets, with a proof that none are better.",
        epilog="Exit code 0 means that there is a plan; 1 that something was rejected, with the reason.",
    )
    for name, text in ARGUMENTS.items():
        if name.startswith("--"):
            parser.add_argument(name, metavar=METAVARS[name], help=text)
        else:
            parser.add_argument(name.lower(), metavar=name, help=text)
    return run(Request(**vars(parser.parse_args(arguments))))


ARGUMENTS: Mapping[str, str] = {
    "HOLDINGS": "CSV with securities, quantities, and prices; a broker's export or a spreadsheet.",
    "TARGETS": "CSV with securities, targets, and low and high drifts if there are bands.",
    "--prices": "CSV with prices; they take precedence over those in HOLDINGS.",
    "--cash": "Cash, if HOLDINGS has no cash row.",
    "--rules": 'JSON file of rules, such as {"direction": "BUY_ONLY"}.',
    "--out": "File to write: trades as .csv, the API's response as .json, or a report as .html.",
}
"""The arguments of the command and their descriptions."""

METAVARS = {"--prices": "FILE", "--cash": "MONEY", "--rules": "FILE.json", "--out": "FILE"}


def _run(request: Request, output: TextIO) -> None:
    out, stated, rules, holdings, targets, prices = _read(request)
    inputs = combine(holdings, targets, prices, stated, hold_unpriced=rules.unpriced is Unpriced.HOLD)
    rules, remarks = _known_ids(rules, inputs)
    tables = [holdings.table, targets.table, *([] if prices is None else [prices.table])]
    notes = [f"{shown(each.file)}: {note}" for each in tables for note in each.notes]
    notes += [*inputs.notes, *remarks]
    width = terminal_width()
    _print(
        output, ["How the files were read:", *(line for note in notes for line in wrapped(f"- {note}", width, "  "))]
    )
    plan = rebalance(inputs.quantities, _with_bands(inputs), inputs.prices, inputs.cash, rules, tickers=inputs.tickers)
    content = None if out is None else _content(plan, out, notes)
    # Before the file, so that a plan that cannot be shown leaves none behind.
    _print(output, ["", *_summary(plan, width)])
    if out is not None and content is not None:
        write_completely(out, content)
        _print(output, ["", f"Written to {shown(str(out))}."])


class _Read(NamedTuple):
    """The arguments and the content of the files."""

    out: Path | None
    cash: Decimal | None
    rules: Rules
    holdings: Holdings
    targets: Targets
    prices: Prices | None


def _read(request: Request) -> _Read:
    """Read the arguments and all files, and report what is wrong with any of them together."""
    faults = Faults()
    with faults.collected():
        out = _output_path(request)
    with faults.collected():
        cash = None if request.cash is None else _money(request.cash)
    with faults.collected():
        rules = Rules() if request.rules is None else _rules(request.rules)
    with faults.collected():
        holdings = read_holdings(read_table_text(Path(request.holdings)))
    with faults.collected():
        targets = read_targets(read_table_text(Path(request.targets)))
    with faults.collected():
        prices = None if request.prices is None else read_prices(read_table_text(Path(request.prices)))
    faults.raise_all()
    return _Read(out, cash, rules, holdings, targets, prices)


def _print(output: TextIO, lines: Sequence[str]) -> None:
    """Write lines at once.

    Raises:
        Rejected: the output has no room for them, or cannot be written for another reason.
    """
    try:
        output.write("\n".join(lines) + "\n")
        output.flush()
    except BrokenPipeError:
        # A reader that has seen enough, such as head, is no error; nor is what the interpreter flushes when it ends.
        _discard(output)
    except OSError as error:
        _discard(output)
        raise Rejected(f"the output cannot be written: {error.strerror or error}") from None


def _discard(output: TextIO) -> None:
    """Send what is buffered, and what follows, nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output.fileno())
        os.close(nowhere)


def _output_path(request: Request) -> Path | None:
    if request.out is None:
        return None
    out = Path(request.out)
    if out.suffix.lower() not in FORMATS:
        raise Rejected(f"--out: must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, is {shown(request.out)}")
    if not out.parent.is_dir():
        raise Rejected(f"--out: the directory {shown(str(out.parent))} does not exist")
    for name in ("holdings", "targets", "prices", "rules"):
        source = getattr(request, name)
        if source is not None and out.exists() and Path(source).exists() and out.samefile(source):
            raise Rejected(f"--out: {shown(request.out)} is the file of {name}, which must not be overwritten")
    return out


def _money(text: str) -> Decimal:
    try:
        numeral = read_numeral(text)
        if numeral is None or numeral.percent:
            raise NotNumber(f'"{shown(text)}" is not an amount of money')
        return numeral.value(None)
    except NotNumber as problem:
        raise Rejected(f"--cash: {str(problem).replace(' in the file', '')}") from None


def _rules(file: str) -> Rules:
    try:
        return rules_from_json(read_text(Path(file)).content)
    except InvalidRules as problem:
        raise SeveralFaults(tuple(InvalidFile(file, fault) for fault in problem.faults)) from None


def _known_ids(rules: Rules, inputs: Inputs) -> tuple[Rules, list[str]]:
    """Spell the ids in rules as the files do, and name those that are in no file."""
    spellings = {name.casefold(): name for name in inputs.lines}
    spellings |= {ticker.casefold(): name for name, ticker in inputs.tickers.items()} | {}
    unknown: list[str] = []

    def spell(security_id: str) -> str:
        known = spellings.get(security_id.casefold())
        if known is None:
            unknown.append(security_id)
        return known or security_id

    changed = msgspec.structs.replace(
        rules,
        do_not_trade=tuple(map(spell, rules.do_not_trade)),
        do_not_buy=tuple(map(spell, rules.do_not_buy)),
        do_not_sell=tuple(map(spell, rules.do_not_sell)),
        lot_sizes=tuple(msgspec.structs.replace(lot, security_id=spell(lot.security_id)) for lot in rules.lot_sizes),
    )
    return changed, [f"a rule names {shown(name)}, which is neither held nor a target" for name in unknown]


def _with_bands(inputs: Inputs) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    return {name: (target.target, target.low_drift, target.high_drift) for name, target in inputs.targets.items()}


def _content(plan: Plan, out: Path, notes: Sequence[str]) -> str:
    match out.suffix.lower():
        case ".csv":
            return plan.to_csv()
        case ".json":
            return to_json((document_of(plan),))
        case _:
            return render_page((document_of(plan),), f"Rebalance of {plan.trade_date}", notes)


def _summary(plan: Plan, width: int) -> list[str]:
    """Lay out the plan for a terminal."""
    lines = _trades(plan, width)
    figures = [
        ("Market value", money(plan.market_value)),
        ("Cash", f"{money(plan.cash_before)} before, {money(plan.cash_after)} after"),
        ("Drift", f"{percent(plan.drift_before)} before, {percent(plan.drift_after)} after"),
        ("Turnover", percent(plan.turnover)),
    ]
    if plan.fees:
        figures.append(("Fees", money(plan.fees)))
    for name, value in figures:
        lines += wrapped(f"{name}: {value}", width, "  ")
    lines.append("")
    found = plan.proof
    lines += wrapped(
        f"Path: {found.path}; gap: {plain(found.gap)}; objective: {plain(found.objective)};"
        f" bound: {plain(found.bound)}",
        width,
        "  ",
    )
    lines += wrapped(f"Proof: {proof_sentence(plan.proof, plan.rules)}", width, "  ")
    for warning in plan.warnings:
        lines += ["", *wrapped(f"Warning: {warning.message}", width, "  ")]
    return lines


_COLUMNS = (
    Column("Trade"),
    Column("Security"),
    Column("Ticker", rank=1),
    Column("Quantity", right=True),
    Column("Price", right=True, rank=2),
    Column("Value", right=True),
    Column("Before", right=True, rank=3),
    Column("After", right=True, rank=3),
    Column("Target", right=True, rank=3),
)


def _trades(plan: Plan, width: int) -> list[str]:
    if not plan.orders:
        return [
            "No trades: the portfolio is as close to its targets as bands and rules allow.",
            "",
            *_reasons(plan, width),
        ]
    tickers = any(each.ticker not in (None, each.security_id) for each in plan.orders)
    rows = [
        (
            "BUY" if each.trade > 0 else "SELL",
            shown(each.security_id),
            shown(each.ticker or ""),
            plain(Decimal(each.trade).copy_abs()),
            money(each.price or Decimal(0)),
            money(each.value),
            percent(each.weight_before),
            percent(each.weight_after),
            percent(each.target),
        )
        for each in plan.orders
    ]
    kept = [index for index, column in enumerate(_COLUMNS) if tickers or column.header != "Ticker"]
    return [
        *table([_COLUMNS[index] for index in kept], [[row[index] for index in kept] for row in rows], width),
        "",
        *_reasons(plan, width),
    ]


def _reasons(plan: Plan, width: int) -> list[str]:
    """Return the reason of each trade, and of each security that a rule kept from a better quantity."""
    restrained = [each for each in plan.securities if each.restraint and not each.trade]
    lines = [
        line
        for each in (*plan.orders, *restrained)
        for line in wrapped(f"{shown(each.security_id)}: {each.reason}", width, "  ")
    ]
    return [*lines, ""] if lines else []
