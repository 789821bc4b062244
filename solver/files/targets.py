"""Targets from a file: for each security a share of the market value, with or without a drift band."""

import re
from decimal import Decimal

from msgspec import Struct

from solver.files.identity import Identified, identified
from solver.files.numerals import Numeral
from solver.files.problems import Faults, InvalidFile, shown
from solver.files.records import is_footer
from solver.files.table import TARGETS, Row, Table, find_table
from solver.files.text import Text
from solver.planning.columns import IDENTIFIERS, Role, has_percent_sign, normalized
from solver.planning.exact import EXACT, plain, total
from solver.planning.labels import is_cash, is_total

ONE, TWO = Decimal(1), Decimal(2)
_ROUNDING = Decimal("0.005")
_GOAL_WORDS = ("target", "ziel", "soll", "desired", "model", "goal", "cible", "objetivo", "obiettivo")


class TargetRow(Struct, frozen=True):
    """A security of a model; the shares are fractions of the market value.

    Attributes:
        low_drift, high_drift: None if the file has no band.
        price: if the file has prices.
    """

    security: Identified
    target: Decimal
    low_drift: Decimal | None
    high_drift: Decimal | None
    price: Decimal | None


class Targets(Struct, frozen=True):
    """The content of a file of targets."""

    table: Table
    targets: tuple[TargetRow, ...]


def read_targets(text: Text) -> Targets:
    """Read targets.

    Raises:
        InvalidFile: the meaning of the file is unclear; the message names line, column and the choice.
    """
    table = find_table(text, TARGETS)
    _reject_bounds(table)
    index = _target_column(table)
    rows = _rows(table)
    faults = Faults()
    numerals = table.numbers(index, rows, faults)
    for row in rows:
        if row.line not in faults.lines:
            with faults.collected():
                _check_share(table, row, index, numerals.get(row.line))
    _reject_cells(table, rows, faults)
    scale = _scale(table, index, numerals)
    drifts: dict[Role, dict[int, Decimal] | None] = {}
    for role in _DRIFTS:
        with faults.collected():
            drifts[role] = _drifts(table, role, rows, scale)
    with faults.collected():
        prices = _prices(table, rows)
    faults.raise_all(by_line=True)
    _note_bands(table, drifts)
    _reject_weights(table, rows, {line: numeral.value(None) * scale for line, numeral in numerals.items()}, drifts)
    found: list[TargetRow] = []
    for row in rows:
        with faults.collected():
            found.append(
                TargetRow(
                    identified(table, row),
                    EXACT.multiply(numerals[row.line].value(None), scale),
                    _drift(table, row, drifts, Role.LOW_DRIFT),
                    _drift(table, row, drifts, Role.HIGH_DRIFT),
                    prices.get(row.line),
                )
            )
    faults.raise_all(by_line=True)
    securities = [each for each in found if not any(map(is_cash, each.security.names.values()))]
    _check_cash(table, [each for each in found if each not in securities], securities)
    if not securities:
        raise InvalidFile(table.file, "has no securities below its header", line=table.header_line)
    return Targets(table, tuple(securities))


_BOUNDS = re.compile(
    r"(?:min|max|minimum|maximum|lower|upper)(?: (?:weight|bound|limit|target|allocation))?(?: ?\(?%\)?)?"
)


def _reject_bounds(table: Table) -> None:
    """Reject columns of smallest and largest weights, which are not drifts and must not be ignored."""
    for header in table.headers:
        if _BOUNDS.fullmatch(normalized(header)):
            raise InvalidFile(
                table.file,
                "is a bound of the weight: state the distance from the target in columns Low drift and High drift",
                line=table.header_line,
                column=header,
            )


def _reject_weights(
    table: Table, rows: list[Row], targets: dict[int, Decimal], drifts: dict[Role, dict[int, Decimal] | None]
) -> None:
    """Reject columns such as Low and High whose numbers can be drifts or the weights that they allow."""
    low, high = drifts[Role.LOW_DRIFT], drifts[Role.HIGH_DRIFT]
    if low is None or high is None:
        return
    header = table.headers[table.roles[Role.LOW_DRIFT][0]]
    lines = [row.line for row in rows if targets[row.line] and row.line in low and row.line in high]
    around = all(low[line] <= targets[line] <= high[line] for line in lines)
    if lines and around and not _DRIFT_WORDS & set(normalized(header).split()):
        raise InvalidFile(
            table.file,
            "the numbers are either drifts or weights, as each target lies between its low and its high: name the"
            " columns Low drift and High drift if they are distances from the target",
            line=lines[0],
            column=header,
        )


_DRIFT_WORDS = {"drift", "tolerance", "lowdrift"}


def _target_column(table: Table) -> int:
    """Return the column of targets; a "Target" next to a "Weight" is the target, as the other one is of today."""
    indexes = table.roles[Role.TARGET]
    named = [index for index in indexes if any(word in normalized(table.headers[index]) for word in _GOAL_WORDS)]
    if len(indexes) > 1 and len(named) == 1:
        table.notes.append(f'the targets are in the column "{table.headers[named[0]]}"')
        return named[0]
    index = table.column(Role.TARGET)
    assert index is not None
    return index


def _rows(table: Table) -> list[Row]:
    identifiers = [index for role in IDENTIFIERS for index in table.roles.get(role, [])]
    target = table.roles[Role.TARGET][0]
    rows: list[Row] = []
    for row in table.rows:
        labels = [label for index in identifiers if (label := row.record.cell(index))]
        if any(map(is_total, labels)) or (not labels and row is table.rows[-1] and row.record.cell(target)):
            table.notes.append(
                f'line {row.line} is a total and is ignored: "{shown(" ".join(row.record.filled))[:60]}"'
            )
        else:
            rows.append(row)
    while rows and is_footer(rows[-1].record):
        footer = rows.pop()
        table.notes.append(f'line {footer.line} is text and is ignored: "{shown(footer.record.filled[0])[:60]}"')
    return rows


_DRIFTS = (Role.DRIFT, Role.LOW_DRIFT, Role.HIGH_DRIFT)


def _reject_cells(table: Table, rows: list[Row], faults: Faults) -> None:
    """Raise the faults of the targets, if there are any, together with those of the cells beside them.

    Without all targets, it cannot be decided whether they are percentages.
    """
    if not faults:
        return
    for role in (*_DRIFTS, Role.PRICE):
        for index in table.roles.get(role, [])[:1]:
            with faults.collected():
                table.numbers(index, rows)
    faults.raise_all(by_line=True)


def _check_share(table: Table, row: Row, index: int, numeral: Numeral | None) -> None:
    if numeral is None:
        raise table.problem("the target is missing; write 0 if the security is to be sold", row, index)
    if numeral.currency:
        raise table.problem(f'"{shown(numeral.text)}" is money, not a share', row, index)
    if numeral.value(None) < 0:
        raise table.problem(f"must be 0 or more, is {shown(numeral.text)}", row, index)


def _scale(table: Table, index: int, numerals: dict[int, Numeral]) -> Decimal:
    """Decide whether the targets are percentages or fractions, for the whole column."""
    header = table.headers[index]
    signed = {line for line, numeral in numerals.items() if numeral.percent}
    unsigned = {line for line, numeral in numerals.items() if not numeral.percent and numeral.value(None)}
    entire = total(numeral.value(None) for numeral in numerals.values())
    if signed and unsigned:
        raise InvalidFile(
            table.file,
            f"line {min(signed)} has a percent sign, line {min(unsigned)} has none: write the whole column either as"
            " percentages or as fractions",
            line=max(min(signed), min(unsigned)),
            column=header,
        )
    if signed or has_percent_sign(header):
        percent, because = True, "they have a percent sign" if signed else "the header has a percent sign"
    elif entire > TWO:
        percent, because = True, f"their sum is {plain(entire)}"
    elif entire <= ONE:
        percent, because = False, f"their sum is {plain(entire)}"
    else:
        raise InvalidFile(
            table.file,
            f"the targets add up to {plain(entire)}, which is either {plain(entire)}% or {_percent(entire)}: write"
            " percent signs, or fractions with a sum of at most 1",
            line=table.header_line,
            column=header,
        )
    scale = Decimal("0.01") if percent else ONE
    share = EXACT.multiply(entire, scale)
    if share > 1:
        raise InvalidFile(
            table.file,
            f"the targets add up to {_percent(share)}, which is more than 100%",
            line=table.header_line,
            column=header,
        )
    kind = "percentages" if percent else "fractions"
    table.notes.append(f"the targets are {kind}, because {because}; they add up to {_percent(share)}")
    return scale


def _drifts(table: Table, role: Role, rows: list[Row], scale: Decimal) -> dict[int, Decimal] | None:
    """Read a column of drifts as fractions, by line; None if the file has no such column."""
    index = table.column(role)
    if index is None:
        return None
    faults = Faults()
    numerals = table.numbers(index, rows, faults)
    by_line = {row.line: row for row in rows}
    for line, numeral in numerals.items():
        with faults.collected():
            _check_share(table, by_line[line], index, numeral)
    faults.raise_all()
    own = _drift_scale(table, index, numerals, scale)
    drifts = {line: EXACT.multiply(numeral.value(None), own) for line, numeral in numerals.items()}
    for line, drift in drifts.items():
        if drift > 1:
            faults.add(table.problem(f"a drift of {_percent(drift)} is more than 100%", by_line[line], index))
    faults.raise_all()
    return drifts


def _drift_scale(table: Table, index: int, numerals: dict[int, Numeral], scale: Decimal) -> Decimal:
    header = table.headers[index]
    used = [numeral for numeral in numerals.values() if numeral.value(None)]
    if not used:
        return scale
    signs = {numeral.percent for numeral in used}
    if len(signs) > 1:
        raise InvalidFile(
            table.file,
            "some drifts have a percent sign and some have none: write the whole column in one way",
            line=max(numerals),
            column=header,
        )
    if signs == {True} or has_percent_sign(header):
        return Decimal("0.01")
    largest = max(numeral.value(None) for numeral in used)
    if scale == ONE and largest > 1:
        problem = f"the targets are fractions, but a drift is {plain(largest)}"
    elif scale != ONE and largest < Decimal("0.25"):
        problem = f"the targets are percentages, but the largest drift is {plain(largest)}"
    else:
        return scale
    raise InvalidFile(
        table.file,
        f"{problem}, which is either {plain(largest)}% or {_percent(largest)}: write percent signs",
        line=table.header_line,
        column=header,
    )


def _note_bands(table: Table, drifts: dict[Role, dict[int, Decimal] | None]) -> None:
    present = [role for role, column in drifts.items() if column is not None]
    if Role.DRIFT in present and len(present) > 1:
        raise InvalidFile(
            table.file,
            "has a column for the drift and one for the low or high drift: keep the one or the others",
            line=table.header_line,
        )
    if not present:
        table.notes.append("there are no drift columns, so no security has a band")
    elif Role.DRIFT in present:
        table.notes.append("the drift is allowed below and above the target")
    elif len(present) == 1:
        missing = "high" if Role.LOW_DRIFT in present else "low"
        raise InvalidFile(
            table.file,
            f"has no column for the {missing} drift: add it, or name the column Drift if it counts for both sides",
            line=table.header_line,
        )


def _drift(table: Table, row: Row, drifts: dict[Role, dict[int, Decimal] | None], side: Role) -> Decimal | None:
    role = side if drifts[Role.DRIFT] is None else Role.DRIFT
    column = drifts[role]
    if column is None:
        return None
    drift = column.get(row.line)
    if drift is None and not any(map(is_cash, row.record.filled)):
        index = table.roles[role][0]
        raise table.problem("the drift is missing; write 0 if the target must be met exactly", row, index)
    return drift


def _prices(table: Table, rows: list[Row]) -> dict[int, Decimal]:
    index = table.column(Role.PRICE)
    if index is None:
        return {}
    faults = Faults()
    numerals = table.numbers(index, rows, faults)
    for row in rows:
        if row.line in numerals and (numerals[row.line].percent or numerals[row.line].value(None) <= 0):
            problem = f"the price must be above 0, is {shown(numerals[row.line].text)}"
            faults.add(table.problem(problem, row, index))
    faults.raise_all()
    return {line: numeral.value(None) for line, numeral in numerals.items()}


def _percent(fraction: Decimal) -> str:
    return f"{plain(EXACT.multiply(fraction, Decimal(100)))}%"


def _check_cash(table: Table, cash: list[TargetRow], securities: list[TargetRow]) -> None:
    """Compare what the file states as cash with what its targets leave."""
    if not cash:
        return
    if len(cash) > 1:
        raise InvalidFile(
            table.file, f"states the cash twice, in lines {cash[0].security.line} and {cash[1].security.line}",
            line=cash[1].security.line,
        )  # fmt: skip
    left = EXACT.subtract(ONE, total(each.target for each in securities))
    stated = cash[0].target
    if abs(left - stated) > _ROUNDING:
        raise InvalidFile(
            table.file,
            f"states that {_percent(stated)} remain as cash, but the targets leave {_percent(left)}: make the"
            " file add up to 100%",
            line=cash[0].security.line,
        )
    table.notes.append(f"line {cash[0].security.line} states what remains as cash: {_percent(stated)}")
