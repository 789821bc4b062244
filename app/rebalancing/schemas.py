"""What the rebalance endpoints accept: whether to preview, and the rules to rebalance by."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.errors.codes import InvalidField
from app.http.dialect import camel_case
from app.http.exact_json import Number
from app.http.identifiers import external_id
from app.solver_task.rounding import shortest
from solver import Bands, Direction, Goal, InvalidRules, LotSize, Rules, TradeScope, Unpriced

MAXIMUM_LOCKS = 10_000
"""Ids in one list of a rule."""

LARGEST_AMOUNT = Decimal(10) ** 15
MAXIMUM_DECIMALS = 18

type CheckId = Callable[[str, str], str]
"""Checks an id, given the field's path and the id."""


def _rule(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


_Ids = list[str] | UnsetType
_Amount = Number | UnsetType


class LotSizeRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The lot size of one security."""

    security_id: Annotated[str, _rule("Id of the security.")]
    lot_size: Annotated[Number, _rule("Shares in a lot, above 0: 100 for board lots, 0.001 for fractions.")]


class RulesRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The rules of one rebalance; an absent rule changes nothing."""

    goal: Annotated[
        Goal | UnsetType,
        _rule("`TARGET` (default): as close to the targets as possible. `BAND`: into the bands with little trading."),
    ] = UNSET
    bands: Annotated[
        Bands | UnsetType,
        _rule("`REQUIRED` (default): inside every drift band. `PREFERRED`: as little money outside as possible."),
    ] = UNSET
    direction: Annotated[
        Direction | UnsetType, _rule("`BOTH` (default), `BUY_ONLY` for a contribution, or `SELL_ONLY`.")
    ] = UNSET
    trade: Annotated[
        TradeScope | UnsetType,
        _rule("`ALL` (default), or `OUT_OF_BAND`: only securities that are outside their band now."),
    ] = UNSET
    do_not_trade: Annotated[_Ids, _rule("Securities that are neither bought nor sold.")] = UNSET
    do_not_buy: Annotated[_Ids, _rule("Securities that are not bought.")] = UNSET
    do_not_sell: Annotated[_Ids, _rule("Securities that are not sold.")] = UNSET
    minimum_trade_value: Annotated[
        _Amount, _rule("Money; no smaller order is allowed, except one that closes a position.", minimum=0)
    ] = UNSET
    lot_size: Annotated[_Amount, _rule("Trades are multiples of it; 1 by default.", exclusiveMinimum=0)] = UNSET
    lot_sizes: Annotated[list[LotSizeRequest] | UnsetType, _rule("Lot sizes of single securities.")] = UNSET
    minimum_cash: Annotated[_Amount, _rule("Money that remains as cash.", minimum=0)] = UNSET
    withdrawal: Annotated[
        _Amount, _rule("Money to be raised; not part of the market value that targets refer to.", minimum=0)
    ] = UNSET
    fee_rate: Annotated[_Amount, _rule("Cost of an order as a share of its value.", minimum=0, exclusiveMaximum=1)] = (
        UNSET
    )
    fee_per_order: Annotated[_Amount, _rule("Cost of each order, money.", minimum=0)] = UNSET
    unpriced: Annotated[
        Unpriced | UnsetType,
        _rule("`FAIL` (default), or `HOLD`: a security held outside the model without a price stays as it is."),
    ] = UNSET
    acceptable_gap: Annotated[
        _Amount,
        _rule(
            "Share of the market value: at the time limit, a result this close to its bound is accepted.",
            minimum=0,
            maximum=1,
        ),
    ] = UNSET

    def rules(self, check_id: CheckId) -> Rules | None:
        """Return the rules in the solver's form; None if every one of them is the default.

        Args:
            check_id: checks the security ids.

        Raises:
            InvalidField: naming the rule and what it accepts.
        """
        for field in ("doNotTrade", "doNotBuy", "doNotSell"):
            ids = getattr(self, _ATTRIBUTES[field])
            for index, security_id in enumerate(ids or ()):
                check_id(f"{field}[{index}]", security_id)
        for index, lot in enumerate(self.lot_sizes or ()):
            check_id(f"lotSizes[{index}].securityId", lot.security_id)
            check_amount(f"lotSizes[{index}].lotSize", lot.lot_size)
        for field in ("minimumTradeValue", "lotSize", "minimumCash", "withdrawal", "feePerOrder"):
            amount = getattr(self, _ATTRIBUTES[field])
            if amount is not UNSET:
                check_amount(field, amount)
        try:
            rules = msgspec.convert({name: _plain(value) for name, value in self._given()}, Rules)
        except msgspec.ValidationError as error:
            if not isinstance(error.__cause__, InvalidRules):
                raise
            name, _, rule = str(error.__cause__).partition(": ")
            raise InvalidField(camel_case(name) if name in self.__struct_fields__ else "lotSizes", rule) from None
        return None if rules == Rules() else rules

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that cannot be applied, apart from ids; fields that could not be read are absent."""
        for name, value in fields.items():
            if not isinstance(value, list) or None not in value:
                try:
                    cls(**cast("dict[str, Any]", {name: value})).rules(lambda _, identifier: identifier)
                except InvalidField as fault:
                    yield fault

    def id_faults(self, check_id: CheckId) -> Iterator[InvalidField]:
        """Yield what is wrong with each security id."""
        for name in ("do_not_trade", "do_not_buy", "do_not_sell"):
            for index, security_id in enumerate(getattr(self, name) or ()):
                yield from _caught(check_id, f"{camel_case(name)}[{index}]", security_id)
        for index, lot in enumerate(self.lot_sizes or ()):
            yield from _caught(check_id, f"lotSizes[{index}].securityId", lot.security_id)

    def document(self) -> dict[str, object] | None:
        """Return the rules as they were sent, as JSON values and Decimals; None if there are none."""
        shown = {camel_case(name): _json(value) for name, value in self._given()}
        return shown or None

    def _given(self) -> list[tuple[str, object]]:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, value) for name, value in fields if value is not UNSET]


_ATTRIBUTES = {camel_case(name): name for name in RulesRequest.__struct_fields__}


class RebalanceRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How to rebalance; an empty body is the same as an empty object."""

    preview: Annotated[bool, Meta(description="Whether to compute the result without storing it.")] = False
    rules: RulesRequest | None = None

    def __post_init__(self) -> None:
        """Check the rules."""
        self.solver_rules()

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield what is wrong with rules that could be read."""
        yield from rules_faults(fields.get("rules"), external_id)

    def solver_rules(self) -> Rules | None:
        """Return the rules in the solver's form; None if there are none.

        Raises:
            InvalidField: naming the rule and what it accepts.
        """
        if self.rules is None:
            return None
        try:
            return self.rules.rules(external_id)
        except InvalidField as error:
            raise InvalidField(f"rules.{error.field}", error.rule) from None

    def rules_document(self) -> dict[str, object] | None:
        """Return the rules as they were sent, as they are stored; None if there are none."""
        return None if self.rules is None else self.rules.document()


def rules_faults(rules: RulesRequest | None, check_id: CheckId) -> Iterator[InvalidField]:
    """Yield every wrong id in rules; if all ids are valid, what is wrong with the rules together."""
    if rules is None:
        return
    faults = [*rules.id_faults(check_id)]
    if not faults:
        try:
            rules.rules(check_id)
        except InvalidField as fault:
            faults.append(fault)
    for each in faults:
        yield InvalidField(f"rules.{each.field}", each.rule)


def _caught(check_id: CheckId, field: str, identifier: str) -> Iterator[InvalidField]:
    try:
        check_id(field, identifier)
    except InvalidField as fault:
        yield fault


def check_amount(field: str, amount: Decimal) -> Decimal:
    """Check the size of a price, a quantity or an amount of money.

    Raises:
        InvalidField: it has more than 18 decimal places, or is 10^15 or more.
    """
    exponent = amount.as_tuple().exponent
    if amount.copy_abs() >= LARGEST_AMOUNT or (isinstance(exponent, int) and -exponent > MAXIMUM_DECIMALS):
        raise InvalidField(field, f"must be below 10^15 and have at most {MAXIMUM_DECIMALS} decimal places")
    return amount


def fingerprint(rules: Rules | None) -> str:
    """Return a text that is the same for equal rules, however they were written; empty for none."""
    if rules is None:
        return ""
    content = {name: _canonical(getattr(rules, name)) for name in rules.__struct_fields__}
    return msgspec.json.encode(content, order="sorted").decode()


def _canonical(value: object) -> object:
    match value:
        case Decimal():
            return format(shortest(value), "f")
        case LotSize():
            return [value.security_id, _canonical(value.lot_size)]
        case tuple():
            return sorted((_canonical(item) for item in value), key=str)
        case _:
            return str(value)


def _plain(value: object) -> object:
    match value:
        case Number():
            return Decimal(value)
        case LotSizeRequest():
            return LotSize(security_id=value.security_id, lot_size=Decimal(value.lot_size))
        case list():
            return tuple(_plain(item) for item in value)
        case _:
            return value


def _json(value: object) -> object:
    match value:
        case Number():
            return Decimal(value)
        case LotSizeRequest():
            return {"securityId": value.security_id, "lotSize": Decimal(value.lot_size)}
        case list():
            return [_json(item) for item in value]
        case bool() | None:
            return value
        case _:
            return str(value)
