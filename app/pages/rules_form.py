"""The rules of a rebalance as fields of a form, and back."""

import re
from collections.abc import Mapping

from msgspec import Struct

from app.errors.codes import OrderGenerationError
from app.http.dialect import Dialect
from app.http.exact_json import decode, encode
from app.rebalancing.schemas import RebalanceRequest

_SEPARATORS = re.compile(r"[\s,;]+")


class Choice(Struct, frozen=True):
    """A rule with a few values; the first is the default."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


class Text(Struct, frozen=True):
    """A rule that is an amount, or a list of security ids."""

    name: str
    label: str
    hint: str
    is_list: bool = False


CHOICES = (
    Choice(
        "goal",
        "Goal",
        (("TARGET", "as close to the targets as possible"), ("BAND", "into the bands with little trading")),
    ),
    Choice("bands", "Drift bands", (("REQUIRED", "required"), ("PREFERRED", "preferred"))),
    Choice("direction", "Direction", (("BOTH", "buy and sell"), ("BUY_ONLY", "buy only"), ("SELL_ONLY", "sell only"))),
    Choice("trade", "Trade", (("ALL", "all securities"), ("OUT_OF_BAND", "only what is outside its band"))),
    Choice("unpriced", "No price", (("FAIL", "fails the portfolio"), ("HOLD", "hold unchanged"))),
)
AMOUNTS = (
    Text("minimumTradeValue", "Smallest trade", "money"),
    Text("lotSize", "Lot size", "shares, 1 if empty"),
    Text("minimumCash", "Cash reserve", "money"),
    Text("withdrawal", "Withdrawal", "money"),
    Text("feeRate", "Fee rate", "share of the value: 0.001 is 0.1%"),
    Text("feePerOrder", "Fee per order", "money"),
    Text("acceptableGap", "Acceptable gap", "share of the market value"),
)
LISTS = (
    Text("doNotTrade", "Do not trade", "security ids", is_list=True),
    Text("doNotBuy", "Do not buy", "security ids", is_list=True),
    Text("doNotSell", "Do not sell", "security ids", is_list=True),
)


def rules_of(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the rules that a form states, in the API's form; a default is left out.

    Args:
        fields: of the form, by the names of the rules.
    """
    rules: dict[str, object] = {}
    for choice in CHOICES:
        value = fields.get(choice.name, "").strip()
        if value and value != choice.options[0][0]:
            rules[choice.name] = value
    for amount in AMOUNTS:
        if value := fields.get(amount.name, "").strip():
            rules[amount.name] = value
    for ids in LISTS:
        if values := [part for part in _SEPARATORS.split(fields.get(ids.name, "")) if part]:
            rules[ids.name] = values
    return rules


def request_of(rules: Mapping[str, object], *, preview: bool) -> RebalanceRequest:
    """Return the request that the API would receive with these rules, checked as the API checks it.

    Raises:
        OrderGenerationError: a rule is invalid; names it.
    """
    body = encode({"preview": preview, **({"rules": rules} if rules else {})})
    request: RebalanceRequest = decode(body, RebalanceRequest, Dialect.STANDARD)
    return request


def fault_of(rules: Mapping[str, object]) -> str | None:
    """Return what is wrong with the rules of a form; None if nothing is."""
    try:
        request_of(rules, preview=True)
    except OrderGenerationError as error:
        return error.message
    return None


def sentence_of(rules: Mapping[str, object]) -> str:
    """Describe rules in words, for a confirmation or a report."""
    if not rules:
        return "No rules: as close to the targets as possible, inside every drift band."
    labels = {"lotSizes": "Lot sizes"} | {each.name: each.label for each in (*CHOICES, *AMOUNTS, *LISTS)}
    options = {choice.name: dict(choice.options) for choice in CHOICES}
    parts = []
    for name, value in rules.items():
        text = ", ".join(map(_item_text, value)) if isinstance(value, list) else str(value)
        parts.append(f"{labels.get(name, name)}: {options.get(name, {}).get(text, text)}")
    return "; ".join(parts) + "."


def _item_text(item: object) -> str:
    """Return an id, or the lot size of a security as "SIZE of ID"."""
    return f"{item['lotSize']} of {item['securityId']}" if isinstance(item, Mapping) else str(item)
