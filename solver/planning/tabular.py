"""Holdings, targets and prices from mappings, rows and data frames."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from os import PathLike

from msgspec import Struct

from solver.planning.columns import IDENTIFIERS, Role, roles_of
from solver.planning.exact import EXACT, InvalidInput, exact, plain, total
from solver.planning.frames import is_frame, read_frame
from solver.planning.labels import is_cash

ZERO, ONE = Decimal(0), Decimal(1)
NO_BAND = ONE
"""A drift that allows every weight."""
_PERCENT = Decimal("0.01")

type Row = dict[Role, object]


class Target(Struct, frozen=True):
    """A share of the market value and how far the weight may be from it; fractions."""

    target: Decimal
    low_drift: Decimal
    high_drift: Decimal

    @classmethod
    def with_band(cls, target: Decimal, low_drift: Decimal | None, high_drift: Decimal | None) -> "Target":
        """Return a target; a drift of None allows every weight, except that a target of 0 is sold."""
        free = NO_BAND if target else ZERO
        return cls(target, free if low_drift is None else low_drift, free if high_drift is None else high_drift)


class Held(Struct, frozen=True):
    """What is held: shares, prices and tickers by security id, and the cash row, if there is one."""

    quantities: dict[str, Decimal]
    prices: dict[str, Decimal]
    tickers: dict[str, str]
    cash: Decimal | None


class Wanted(Struct, frozen=True):
    """What is wanted, with prices if they are in the same table."""

    targets: dict[str, Target]
    prices: dict[str, Decimal]


def read_holdings(value: object) -> Held:
    """Read holdings; rows of different accounts are summed.

    Raises:
        InvalidInput: something is missing, inexact, or named twice in one account.
    """
    quantities: dict[str, Decimal] = {}
    prices: dict[str, Decimal] = {}
    tickers: dict[str, str] = {}
    cash: Decimal | None = None
    seen: set[tuple[str, object]] = set()
    for security_id, row in _rows(value, "holdings", (Role.QUANTITY, Role.PRICE)):
        name = "the cash" if is_cash(security_id) else security_id
        account = row.get(Role.ACCOUNT)
        if (name, account) in seen:
            raise InvalidInput(f"holdings: {name} appears twice{'' if account is None else f' in account {account}'}")
        seen.add((name, account))
        if is_cash(security_id):
            amount = row.get(Role.VALUE)
            stated = exact(row.get(Role.QUANTITY) if amount is None else amount, "cash")
            cash = EXACT.add(cash or ZERO, stated)
            continue
        quantity = exact(row.get(Role.QUANTITY), f"quantity of {security_id}")
        quantities[security_id] = EXACT.add(quantities.get(security_id, ZERO), quantity)
        if row.get(Role.PRICE) is not None:
            price = exact(row[Role.PRICE], f"price of {security_id}")
            if prices.setdefault(security_id, price) != price:
                raise InvalidInput(f"price of {security_id}: is both {plain(prices[security_id])} and {plain(price)}")
        symbol = row.get(Role.SYMBOL)
        if isinstance(symbol, str) and symbol:
            tickers[security_id] = symbol
    return Held(quantities, prices, tickers, cash)


def read_prices(value: object) -> dict[str, Decimal]:
    """Read prices; None has none.

    Raises:
        InvalidInput: a price is missing, inexact, or named twice.
    """
    prices: dict[str, Decimal] = {}
    for security_id, row in _rows(value, "prices", (Role.PRICE,)) if value is not None else ():
        if security_id in prices:
            raise InvalidInput(f"prices: {security_id} appears twice")
        if row.get(Role.PRICE) is not None:
            prices[security_id] = exact(row[Role.PRICE], f"price of {security_id}")
    return prices


def read_targets(value: object) -> Wanted:
    """Read targets; all of them are percentages if they have a percent sign or add up to more than 2.

    Raises:
        InvalidInput: something is missing, inexact, out of range or named twice, or the scale is unclear.
    """
    rows = list(_rows(value, "targets", (Role.TARGET, Role.LOW_DRIFT, Role.HIGH_DRIFT)))
    for security_id, row in rows:
        if (Role.LOW_DRIFT in row) != (Role.HIGH_DRIFT in row):
            row[Role.DRIFT] = row.pop(Role.LOW_DRIFT, row.pop(Role.HIGH_DRIFT, None))
        if row.get(Role.TARGET) is None:
            raise InvalidInput(f"target of {security_id}: is missing")
    targets = _shares(rows, (Role.TARGET,), None)
    scale = _scale(targets)
    drifts = _shares(rows, (Role.DRIFT, Role.LOW_DRIFT, Role.HIGH_DRIFT), scale)
    found: dict[str, Target] = {}
    prices: dict[str, Decimal] = {}
    for security_id, row in rows:
        if is_cash(security_id):
            continue
        if security_id in found:
            raise InvalidInput(f"targets: {security_id} appears twice")
        both = drifts.get((security_id, Role.DRIFT))
        found[security_id] = Target.with_band(
            EXACT.multiply(targets[security_id, Role.TARGET], scale),
            drifts.get((security_id, Role.LOW_DRIFT), both),
            drifts.get((security_id, Role.HIGH_DRIFT), both),
        )
        if row.get(Role.PRICE) is not None:
            prices[security_id] = exact(row[Role.PRICE], f"price of {security_id}")
    return Wanted(found, prices)


def _shares(
    rows: list[tuple[str, Row]], roles: tuple[Role, ...], scale: Decimal | None
) -> dict[tuple[str, Role], Decimal]:
    """Read shares of the market value; those with a percent sign become fractions."""
    found: dict[tuple[str, Role], Decimal] = {}
    signs: set[bool] = set()
    for security_id, row in rows:
        for role in roles:
            cell = row.get(role)
            if cell is None:
                continue
            name = f"{role.value} of {security_id}"
            signed = isinstance(cell, str) and cell.strip().endswith("%")
            share = exact(cell.strip()[:-1] if signed and isinstance(cell, str) else cell, name)
            if share < 0:
                raise InvalidInput(f"{name}: must be 0 or more, is {plain(share)}")
            if share:
                signs.add(signed)
            found[security_id, role] = EXACT.multiply(share, _PERCENT) if signed else share
    kind = "targets" if scale is None else "drifts"
    if len(signs) > 1:
        raise InvalidInput(f"{kind}: some have a percent sign and some have none; write all in one way")
    if scale is not None and signs == {False}:
        _check_drift_scale(found.values(), scale)
        found = {key: EXACT.multiply(share, scale) for key, share in found.items()}
    for (security_id, role), share in found.items():
        if scale is not None and share > 1:
            raise InvalidInput(f"{role.value} of {security_id}: must be at most 1, is {plain(share)}")
    return found


def _scale(targets: Mapping[tuple[str, Role], Decimal]) -> Decimal:
    """Return what to multiply the targets by."""
    entire = total(targets.values())
    if 1 < entire <= 2:
        raise InvalidInput(
            f"targets: their sum is {plain(entire)}; fractions have a sum of at most 1, percentages one of more than 2"
        )
    if entire > 100:
        raise InvalidInput(f"targets: their sum is {plain(entire)}%, which is more than 100%")
    return _PERCENT if entire > 2 else ONE


def _check_drift_scale(drifts: Iterable[Decimal], scale: Decimal) -> None:
    largest = max(drifts)
    if scale == ONE and largest > 1:
        raise InvalidInput(f"drifts: the targets are fractions, but a drift is {plain(largest)}; write 0.02 for 2%")
    if scale != ONE and 0 < largest < Decimal("0.25"):
        raise InvalidInput(
            f"drifts: the targets are percentages, but the largest drift is {plain(largest)}; write 2 or '2%' for 2%"
        )


def _rows(value: object, what: str, positions: tuple[Role, ...]) -> Iterable[tuple[str, Row]]:
    """Yield security ids with the cells of their row."""
    if is_frame(value):
        yield from _frame_rows(value, what)
        return
    if not isinstance(value, Mapping) and hasattr(value, "to_dict") and hasattr(value, "items"):
        value = dict(value.items())  # a series with an index
    if isinstance(value, Mapping):
        for security_id, cells in value.items():
            yield _id(security_id, what), _cells(cells, f"{what}: {security_id}", positions)
        return
    if isinstance(value, str | bytes | PathLike):
        raise InvalidInput(f"{what}: must be a mapping, rows or a data frame; files are read by `python -m solver`")
    if not isinstance(value, Iterable):
        raise InvalidInput(f"{what}: must be a mapping, rows or a data frame, is of type {type(value).__name__}")
    for row in value:
        if isinstance(row, Mapping):
            yield _named(row, what)
        elif isinstance(row, Sequence) and not isinstance(row, str) and len(row) > 1:
            yield _id(row[0], what), _cells(tuple(row[1:]), f"{what}: {row[0]}", positions)
        else:
            raise InvalidInput(f"{what}: a row must be a mapping or a tuple such as (security, {positions[0].value})")


def _frame_rows(value: object, what: str) -> Iterable[tuple[str, Row]]:
    frame = read_frame(value)
    for cells in zip(*frame.columns, strict=True):
        yield _named(dict(zip(frame.headers, cells, strict=True)), what)


def _cells(cells: object, name: str, positions: tuple[Role, ...]) -> Row:
    if isinstance(cells, Mapping):
        return _by_role(cells, name)
    if isinstance(cells, tuple | list):
        if len(cells) > len(positions):
            raise InvalidInput(f"{name}: has {len(cells)} numbers, but at most {len(positions)} are known")
        return dict(zip(positions, cells, strict=False))
    return {positions[0]: cells}


def _named(row: Mapping[str, object], what: str) -> tuple[str, Row]:
    cells = _by_role(row, what)
    for role in IDENTIFIERS:
        if cells.get(role) is not None:
            return _id(cells[role], what), cells
    raise InvalidInput(f"{what}: a row has no security; its columns are {', '.join(map(str, row))}")


def _by_role(row: Mapping[str, object], name: str) -> Row:
    headers = [str(key) for key in row]
    values = list(row.values())
    found: Row = {}
    for role, indexes in roles_of(headers).items():
        if len(indexes) > 1:
            names = " and ".join(repr(headers[index]) for index in indexes)
            raise InvalidInput(f"{name}: the columns {names} can each be the {role.value}; keep one of them")
        found[role] = values[indexes[0]]
    return found


def _id(value: object, what: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{what}: a security id must be a string, is {value!r}")
