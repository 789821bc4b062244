"""Rules from mappings and JSON: the field names of the service's API, every number exact, every mistake named."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from solver.planning.exact import InvalidInput, exact
from solver.rules import Bands, Direction, Goal, InvalidRules, LotSize, Rules, TradeScope, Unpriced

_CHOICES: dict[str, type[StrEnum]] = {
    "goal": Goal, "bands": Bands, "direction": Direction, "trade": TradeScope, "unpriced": Unpriced
}  # fmt: skip
_LISTS = ("doNotTrade", "doNotBuy", "doNotSell")
_NUMBERS = (
    "minimumTradeValue", "lotSize", "minimumCash", "withdrawal", "feeRate", "feePerOrder", "acceptableGap"
)  # fmt: skip
NAMES = (*_CHOICES, *_LISTS, *_NUMBERS, "lotSizes")
"""The rules by their names in JSON."""


def rules_from(rules: object) -> Rules:
    """Return rules from what was passed: `Rules`, or a mapping with the API's names in camelCase or snake_case.

    Raises:
        InvalidRules: rules are unknown, of a wrong type or out of range; all of them are named.

    >>> rules_from({"direction": "BUY_ONLY", "minimumCash": "250.50"}).minimum_cash
    Decimal('250.50')
    """
    if rules is None:
        return Rules()
    if isinstance(rules, Rules):
        return rules
    if not isinstance(rules, Mapping):
        raise InvalidRules(f"rules: must be Rules or a mapping, is of type {type(rules).__name__}")
    values: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in rules.items():
        name = _camel(key) if isinstance(key, str) else str(key)
        try:
            if name in NAMES and _snake(name) in values:
                raise InvalidRules(f"{name}: appears in two spellings")
            values[_snake(name)] = _rule(name, value)
        except InvalidRules as problem:
            faults += problem.faults
    if faults:
        raise InvalidRules(*faults)
    return Rules(**values)


def _rule(name: str, value: object) -> Any:
    """Return the value of a rule.

    Raises:
        InvalidRules: the rule is unknown, or the value is wrong on its own; names the rule as in JSON.
    """
    if name not in NAMES:
        hint = '; put the content of "rules" at the top' if name == "rules" else ""
        raise InvalidRules(f"{name[:40]!r} is not a rule{hint}; the rules are {', '.join(NAMES)}")
    found: Any = _value(name, value)
    field = _snake(name)
    try:
        Rules(**{field: found})
    except InvalidRules as problem:
        text = str(problem)
        if text.startswith(f"{field}:"):
            text = name + text.removeprefix(field)
        raise InvalidRules(text.replace("lot_size of", "lotSize of", 1)) from None
    return found


def rules_from_json(text: str) -> Rules:
    """Return rules from a JSON object; numbers are read exactly.

    Raises:
        InvalidRules: it is not JSON, a name is repeated, or a rule is wrong.
    """

    def without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise InvalidRules(f"{next(name for name in names if names.count(name) > 1)!r} appears more than once")
        return found

    def no_number(constant: str) -> object:
        raise InvalidRules(f"{constant} is not a number")

    try:
        content = json.loads(
            text,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=no_number,
            object_pairs_hook=without_repetition,
        )
    except json.JSONDecodeError as error:
        raise InvalidRules(f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InvalidRules("is nested too deeply") from None
    if not isinstance(content, dict):
        raise InvalidRules('must be a JSON object such as {"direction": "BUY_ONLY"}')
    return rules_from(content)


def _value(name: str, value: object) -> object:
    if name in _CHOICES:
        choices = _CHOICES[name]
        try:
            return choices(str(value))
        except ValueError:
            raise InvalidRules(f"{name}: must be {' or '.join(choices)}, is {str(value)[:40]!r}") from None
    if name in _LISTS:
        return _ids(name, value)
    if name == "lotSizes":
        return _lots(value)
    return _number(name, value)


def _number(name: str, value: object) -> Decimal:
    try:
        return exact(value, name)
    except InvalidInput as error:
        raise InvalidRules(str(error)) from None


def _ids(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise InvalidRules(f"{name}: must be a list of security ids, is {str(value)[:40]!r}")
    ids = tuple(value)
    for each in ids:
        if not isinstance(each, str):
            raise InvalidRules(f"{name}: must be a list of security ids, contains {str(each)[:40]!r}")
    return ids


def _lots(value: object) -> tuple[LotSize, ...]:
    if isinstance(value, Mapping):
        value = [{"securityId": security_id, "lotSize": lot} for security_id, lot in value.items()]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidRules('lotSizes: must be a list such as [{"securityId": "A", "lotSize": 0.001}]')
    lots: list[LotSize] = []
    for each in value:
        if isinstance(each, LotSize):
            lots.append(each)
            continue
        fields = {_camel(str(key)): field for key, field in each.items()} if isinstance(each, Mapping) else {}
        if set(fields) != {"securityId", "lotSize"} or not isinstance(fields["securityId"], str):
            raise InvalidRules("lotSizes: each entry must have a securityId and a lotSize")
        lots.append(
            LotSize(
                security_id=fields["securityId"],
                lot_size=_number(f"lotSize of {fields['securityId']}", fields["lotSize"]),
            )
        )
    return tuple(lots)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
