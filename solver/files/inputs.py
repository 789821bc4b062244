"""Combines holdings, targets, prices and cash of several files, and rejects everything that is unclear."""

from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from solver.files.holdings import CashRow, Holding, Holdings
from solver.files.identity import Names, common_role
from solver.files.prices import PriceRow, Prices
from solver.files.problems import Faults, InvalidFile, shown
from solver.files.targets import Targets
from solver.planning.columns import Role
from solver.planning.exact import EXACT, plain, total
from solver.planning.tabular import Target


class Inputs(Struct, frozen=True):
    """The content of the files by security id.

    Attributes:
        quantities: shares, summed over the accounts.
        targets: with drifts.
        prices: money per share.
        tickers: if the files have symbols and use another identifier.
        cash: money.
        lines: the line and file of each security, for messages.
        notes: how the files were combined, in sentences.
    """

    quantities: dict[str, Decimal]
    targets: dict[str, Target]
    prices: dict[str, Decimal]
    tickers: dict[str, str]
    cash: Decimal
    lines: dict[str, tuple[str, int]]
    notes: tuple[str, ...]


def combine(
    holdings: Holdings, targets: Targets, prices: Prices | None, cash: Decimal | None, *, hold_unpriced: bool
) -> Inputs:
    """Combine files.

    Args:
        holdings: from their file.
        targets: from their file.
        prices: from their file, if there is one.
        cash: from the command line.
        hold_unpriced: whether a security that is held outside the targets may have no price.

    Raises:
        InvalidFile: the files contradict each other or leave something open.
        SeveralFaults: they do so more than once.
    """
    return _Combination(holdings, targets, prices).combine(cash, hold_unpriced=hold_unpriced)


class _Combination:
    """The files, and what is known so far."""

    def __init__(self, holdings: Holdings, targets: Targets, prices: Prices | None) -> None:
        self.holdings, self.targets, self.prices = holdings, targets, prices
        groups = [
            (targets.table.file, [row.security for row in targets.targets]),
            (holdings.table.file, [row.security for row in holdings.holdings]),
        ]
        if prices is not None:
            groups.append((prices.table.file, [row.security for row in prices.prices]))
        self.roles = common_role(groups)
        self.names = Names()
        self.lines: dict[str, tuple[str, int]] = {}
        self.held_lines: dict[str, tuple[str, int]] = {}
        kinds = dict.fromkeys(role.value for role in self.roles)
        self.faults = Faults()
        self.notes = [f"securities are matched by {' and '.join(kinds)}"]

    def combine(self, cash: Decimal | None, *, hold_unpriced: bool) -> Inputs:
        wanted = self._targets()
        held = self._by_security()
        self.faults.raise_all()
        self._note_accounts(held)
        self._note_unmatched(wanted, held)
        found: dict[str, Decimal] = {}
        money = Decimal(0)
        with self.faults.collected():
            found = self._prices(held, wanted, hold_unpriced=hold_unpriced)
        with self.faults.collected():
            money = self._cash(cash)
        with self.faults.collected():
            self._check_currencies()
        self.faults.raise_all()
        return Inputs(
            quantities={name: total(row.quantity for row in rows) for name, rows in held.items()},
            targets=wanted,
            prices=found,
            tickers=self._tickers(),
            cash=money,
            lines=self.lines,
            notes=tuple(self.notes),
        )

    def _targets(self) -> dict[str, Target]:
        found: dict[str, Target] = {}
        for row in self.targets.targets:
            with self.faults.collected():
                name = self.names.add(row.security, self.roles[0])
                if name in found:
                    raise InvalidFile(
                        row.security.file,
                        f"{shown(name)} has a target in line {self.lines[name][1]}, too",
                        line=row.security.line,
                    )
                found[name] = Target.with_band(row.target, row.low_drift, row.high_drift)
                self.lines[name] = (row.security.file, row.security.line)
        return found

    def _by_security(self) -> dict[str, list[Holding]]:
        found: dict[str, list[Holding]] = {}
        seen: dict[tuple[str, str], Holding] = {}
        for row in self.holdings.holdings:
            with self.faults.collected():
                name = self.names.add(row.security, self.roles[1])
                first = seen.setdefault((name, row.account), row)
                if first is not row:
                    raise _held_twice(name, first, row)
                found.setdefault(name, []).append(row)
                self.lines.setdefault(name, (row.security.file, row.security.line))
                self.held_lines.setdefault(name, (row.security.file, row.security.line))
        return found

    def _note_accounts(self, held: dict[str, list[Holding]]) -> None:
        accounts = {row.account for rows in held.values() for row in rows} | {row.account for row in self.holdings.cash}
        if len(accounts - {""}) > 1:
            names = ", ".join(sorted(shown(account) for account in accounts if account))
            self.notes.append(f"{len(accounts - {''})} accounts are summed into one portfolio: {names}")
            for name, rows in held.items():
                if len(rows) > 1:
                    lines = " and ".join(str(row.security.line) for row in rows)
                    shares = plain(total(row.quantity for row in rows))
                    self.notes.append(f"{shown(name)} is summed over lines {lines}: {shares} shares")

    def _note_unmatched(self, wanted: dict[str, Target], held: dict[str, list[Holding]]) -> None:
        outside = [name for name in held if name not in wanted]
        if outside and len(outside) == len(held):
            self.notes.append("none of the held securities has a target")
        elif outside:
            self.notes.append(f"held without a target: {_some(outside)}")
        new = [name for name in wanted if name not in held]
        if new:
            self.notes.append(f"with a target, but not held: {_some(new)}")

    def _prices(
        self, held: dict[str, list[Holding]], wanted: dict[str, Target], *, hold_unpriced: bool
    ) -> dict[str, Decimal]:
        quoted = self._quoted()
        own = self._own_prices(held, quoted)
        in_targets = {
            self.names.add(row.security, self.roles[0]): (row.price, row.security.line)
            for row in self.targets.targets
            if row.price is not None
        }
        found: dict[str, Decimal] = {}
        missing: list[InvalidFile] = []
        for name in (*wanted, *(name for name in held if name not in wanted)):
            price = quoted.get(name, own.get(name))
            if name in in_targets and name not in quoted:
                stated, line = in_targets[name]
                if price is not None and price != stated:
                    raise InvalidFile(
                        self.targets.table.file,
                        f"the price of {shown(name)} is {plain(stated)} here, but {plain(price)} in"
                        f" {shown(self.holdings.table.file)}: state one price, or use --prices",
                        line=line,
                    )
                price = stated
            if price is not None:
                found[name] = price
            elif not self._may_lack_price(name, held, wanted, hold_unpriced=hold_unpriced):
                missing.append(self._no_price(name))
        # Files without any price have one fault, and not as many as they have lines.
        for fault in missing if found else missing[:1]:
            self.faults.add(fault)
        return found

    def _may_lack_price(
        self, name: str, held: dict[str, list[Holding]], wanted: dict[str, Target], *, hold_unpriced: bool
    ) -> bool:
        """Return whether a security needs no price: nothing of it is held or wanted, or it stays as held."""
        if name in wanted:
            return False
        return hold_unpriced or not any(row.quantity for row in held[name])

    def _no_price(self, name: str) -> InvalidFile:
        file, line = self.held_lines.get(name, self.lines[name])
        cost = [self.holdings.table.headers[index] for index in self.holdings.table.roles.get(Role.COST, [])]
        hint = f'; "{shown(cost[0])}" is not a price' if cost and file == self.holdings.table.file else ""
        table = self.holdings.table if file == self.holdings.table.file else self.targets.table
        indexes = table.roles.get(Role.PRICE, [])
        remedy = "state it here" if indexes else "add a column Price"
        return InvalidFile(
            file,
            f"{shown(name)} has no price{hint}: {remedy}, or state it in the file of --prices",
            line=line,
            column=table.headers[indexes[0]] if indexes else None,
        )

    def _quoted(self) -> dict[str, Decimal]:
        """Return the prices of the file of prices."""
        if self.prices is None:
            return {}
        found: dict[str, tuple[Decimal, PriceRow]] = {}
        for row in self.prices.prices:
            name = self.names.add(row.security, self.roles[2])
            price, first = found.setdefault(name, (row.price, row))
            if price != row.price:
                raise InvalidFile(
                    row.security.file,
                    f"the price of {shown(name)} is {plain(row.price)} here, but {plain(price)} in line"
                    f" {first.security.line}: keep one of them",
                    line=row.security.line,
                )
        _require_one_currency(self.prices.table.file, ((row.currency, row.security.line) for _, row in found.values()))
        return {name: price for name, (price, _) in found.items()}

    def _own_prices(self, held: dict[str, list[Holding]], quoted: dict[str, Decimal]) -> dict[str, Decimal]:
        """Return the prices in the holdings, as far as they are used."""
        file = self.holdings.table.file
        found: dict[str, Decimal] = {}
        used: list[tuple[str | None, int]] = []
        replaced = 0
        for name, rows in held.items():
            priced = [row for row in rows if row.price is not None]
            if name in quoted:
                replaced += any(row.price != quoted[name] for row in priced)
                continue
            for row in priced:
                assert row.price is not None
                if row.mismatch:
                    raise InvalidFile(
                        file,
                        f"{shown(name)}: {row.mismatch}; state its price in the file of --prices",
                        line=row.security.line,
                    )
                if found.setdefault(name, row.price) != row.price:
                    raise InvalidFile(
                        file,
                        f"the price of {shown(name)} is {plain(row.price)} here, but {plain(found[name])} in line"
                        f" {priced[0].security.line}: state it once in the file of --prices",
                        line=row.security.line,
                    )
                used.append((row.currency, row.security.line))
        if replaced:
            self.notes.append(f"{replaced} price{'s' if replaced > 1 else ''} of the holdings differ from those of"
                              " --prices, which apply")  # fmt: skip
        _require_one_currency(file, [*used, *((row.currency, row.line) for row in self.holdings.cash if row.amount)])
        return found

    def _check_currencies(self) -> None:
        """Compare the currency of the file of prices with that of the cash in the holdings."""
        quoted = next((row.currency for row in self.prices.prices if row.currency), None) if self.prices else None
        for row in self.holdings.cash:
            if quoted and row.currency and row.amount and row.currency != quoted:
                raise InvalidFile(
                    self.holdings.table.file,
                    f"the cash is in {shown(row.currency)}, but the prices are in {shown(quoted)}: state both in one"
                    " currency",
                    line=row.line,
                )

    def _cash(self, stated: Decimal | None) -> Decimal:
        rows = self.holdings.cash
        file = self.holdings.table.file
        seen: dict[str, CashRow] = {}
        for row in rows:
            first = seen.setdefault(row.account, row)
            if first is not row and first.amount and row.amount:
                raise InvalidFile(
                    file, f"cash is stated twice, in lines {first.line} and {row.line}: state one amount", line=row.line
                )
        if not rows and stated is None and self.holdings.cash_without_amount is not None:
            raise InvalidFile(
                file,
                "the cash row has no amount: state it there or with --cash",
                line=self.holdings.cash_without_amount,
            )
        if not rows:
            self.notes.append(
                "no cash row and no --cash: the cash is 0" if stated is None else f"cash of --cash: {plain(stated)}"
            )
            return stated if stated is not None else Decimal(0)
        amount = total(row.amount for row in rows)
        lines = " and ".join(str(row.line) for row in rows)
        if stated is not None and EXACT.subtract(amount, stated):
            raise InvalidFile(
                file,
                f"the cash is {plain(amount)} here, but --cash is {plain(stated)}: leave one of them out",
                line=rows[0].line,
            )
        self.notes.append(f"cash of line{'s' if len(rows) > 1 else ''} {lines}: {plain(amount)}")
        return amount

    def _tickers(self) -> dict[str, str]:
        """Return symbols by security id; a security that is named by its symbol has it as its ticker."""
        found: dict[str, str] = {}
        files = ((self.targets.targets, self.roles[0]), (self.holdings.holdings, self.roles[1]))
        for rows, role in files:
            for row in rows:
                if Role.SYMBOL in row.security.names:
                    found.setdefault(self.names.add(row.security, role), row.security.names[Role.SYMBOL])
        return found


def _held_twice(name: str, first: Holding, row: Holding) -> InvalidFile:
    account = f" in account {shown(row.account)}" if row.account else ""
    return InvalidFile(
        row.security.file,
        f"{shown(name)} is held twice{account}, in lines {first.security.line} and {row.security.line}: sum the rows,"
        " or add a column for the account",
        line=row.security.line,
    )


def _require_one_currency(file: str, rows: Iterable[tuple[str | None, int]]) -> None:
    first: tuple[str, int] | None = None
    for currency, line in rows:
        if currency is None:
            continue
        if first is None:
            first = currency, line
        elif currency != first[0]:
            raise InvalidFile(
                file,
                f"the currency is {shown(currency)} here, but {first[0]} in line {first[1]}: state all prices in one"
                " currency in the file of --prices, and the cash with --cash",
                line=line,
            )


def _some(names: list[str], count: int = 8) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(shown, names[:count])) + more
