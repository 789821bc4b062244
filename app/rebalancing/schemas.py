"""What the rebalance endpoints accept: whether to preview, and the rules to rebalance by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from app.errors.codes import InvalidField, check
from app.http.dialect import camel_case, snake_case
from app.http.exact_json import Number
from app.http.faults import field_faults
from app.http.identifiers import external_id
from app.models.rules import percent_hint
from app.solver_task.rounding import shortest
from solver import Bands, Direction, Goal, InvalidRules, LotSize, Rules, TradeScope, Unpriced

LARGEST_AMOUNT = Decimal(10) ** 15
MAXIMUM_DECIMALS = 18


def _rule(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


_Ids = list[str] | UnsetType
_Amount = Number | UnsetType


LOT_SIZES = _rule("Lot sizes of single securities.")


class LotSizeRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The lot size of one security."""

    security_id: Annotated[str, _rule("Id of the security.")]
    lot_size: Annotated[Number, _rule("Shares in a lot, above 0: 100 for board lots, 0.001 for fractions.")]

    def __post_init__(self) -> None:
        """Check the lot size by itself."""
        check(self.faults(asdict(self)))

    @staticmethod
    def check_id(field: str, security_id: str) -> str:
        """Check the id of a security."""
        return external_id(field, security_id)

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield the rules that are broken by the fields that could be read."""
        yield from field_faults({"security_id": cls.check_id, "lot_size": _check_rule}, fields)


class RulesRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The rules of one rebalance; an absent rule changes nothing."""

    goal: Annotated[
        Goal | UnsetType,
        _rule("`TARGET` (default): as close to the targets as possible. `BAND`: into the bands with minimal trading."),
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
    lot_sizes: Annotated[list[LotSizeRequest] | UnsetType, LOT_SIZES] = UNSET
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

    def __post_init__(self) -> None:
        """Check each rule."""
        check(self.faults(dict(self._given())))

    @staticmethod
    def check_id(field: str, security_id: str) -> str:
        """Check the id of a security."""
        return external_id(field, security_id)

    def rules(self) -> Rules | None:
        """Return the rules in the solver's form; None if every one of them is the default."""
        rules = msgspec.convert({name: _plain(value) for name, value in self._given()}, Rules)
        return None if rules == Rules() else rules

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> Iterator[InvalidField]:
        """Yield what is wrong with the rules that could be read."""
        for name in ("do_not_trade", "do_not_buy", "do_not_sell"):
            yield from cls._lock_faults(camel_case(name), fields.get(name, ()))
        lots = [lot and lot.security_id for lot in fields.get("lot_sizes", ())]
        yield from repetition_faults(lots, lambda index: f"lotSizes[{index}].securityId")
        amounts = (name for name, value in fields.items() if isinstance(value, Number))
        yield from field_faults(dict.fromkeys(amounts, _check_rule), fields)

    @classmethod
    def _lock_faults(cls, field: str, ids: Sequence[str | None]) -> Iterator[InvalidField]:
        valid = list(ids)
        for index, security_id in enumerate(ids):
            if security_id is not None:
                try:
                    cls.check_id(f"{field}[{index}]", security_id)
                except InvalidField as fault:
                    valid[index] = None
                    yield fault
        yield from repetition_faults(valid, lambda index: f"{field}[{index}]")

    def document(self) -> dict[str, object] | None:
        """Return the rules as they were sent, as JSON values and Decimals; None if there are none."""
        shown = {camel_case(name): _json(value) for name, value in self._given()}
        return shown or None

    def _given(self) -> list[tuple[str, object]]:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, value) for name, value in fields if value is not UNSET]


class RebalanceRequest(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How to rebalance; an empty body is the same as an empty object."""

    preview: Annotated[bool, Meta(description="Whether to compute the result without storing it.")] = False
    rules: RulesRequest | None = None

    def solver_rules(self) -> Rules | None:
        """Return the rules in the solver's form; None if there are none."""
        return None if self.rules is None else self.rules.rules()

    def rules_document(self) -> dict[str, object] | None:
        """Return the rules as they were sent, as they are stored; None if there are none."""
        return None if self.rules is None else self.rules.document()


def repetition_faults(ids: Sequence[str | None], path: Callable[[int], str]) -> Iterator[InvalidField]:
    """Yield each repetition in a list of ids, of which those that could not be read are None.

    Args:
        ids: in the order of the request.
        path: returns the JSON path of an id, by its index.
    """
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for index, identifier in enumerate(ids):
        if identifier in seen:
            yield InvalidField(path(index), "must be unique in its list")
        elif identifier is not None:
            seen.add(identifier)


def _check_rule(field: str, value: Number) -> None:
    """Check the amount of one rule.

    Raises:
        InvalidField: naming what the rule accepts.
    """
    if field not in _SHARES_OF_VALUE:
        check_amount(field, value)
    try:
        msgspec.convert({snake_case(field): Decimal(value)}, Rules)
    except msgspec.ValidationError as error:
        if not isinstance(error.__cause__, InvalidRules):
            raise
        hint = percent_hint(value) if field in _SHARES_OF_VALUE else ""
        raise InvalidField(field, str(error.__cause__).partition(": ")[2] + hint) from None


_SHARES_OF_VALUE = ("feeRate", "acceptableGap")


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
