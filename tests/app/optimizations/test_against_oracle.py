"""Stateless optimisations over HTTP have the outcomes that the judge of the rules finds, in every field."""

import random
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest

from solver import Portfolio, Restraint, Rules, Security
from tests.harness.api import Api
from tests.oracle.agreement import right_outcome
from tests.oracle.optimum import NoOutcome, Optimum
from tests.oracle.rules import TooLarge, exact
from tests.solver.rules.books import DRAWERS, Book, draw_book, mixture

type Json = Any

BOOKS = 120


def test_optimisations_match_the_judge(api: Api) -> None:
    """Random books with random rules: trades, money, weights, restraints, warnings, proof and failures are right."""
    completed = failed = 0
    for number in range(BOOKS):
        chance = random.Random(f"optimisations {number}")
        names = [list(DRAWERS)[number % len(DRAWERS)]] if number % 2 else mixture(chance)
        book = draw_book(chance, names)
        if sum(security.target for security in book[0].securities) > 1:
            continue
        try:
            right = right_outcome(*in_order(book))
        except TooLarge:
            continue
        (result,) = api.post("/optimizations", request(book)).expect(200).body
        if isinstance(right, NoOutcome):
            assert_failed(result, right)
            failed += 1
        else:
            assert_completed(result, *in_order(book), right)
            completed += 1
    assert completed > BOOKS // 3
    assert failed > BOOKS // 20


def in_order(book: Book) -> Book:
    """Return a book in the order of its response: the model's securities, then those held outside it by id."""
    portfolio, rules = book
    model = [security for security in portfolio.securities if in_model(security)]
    others = [security for security in portfolio.securities if not in_model(security) and security.quantity]
    others.sort(key=lambda security: security.security_id)
    return Portfolio((*model, *others), portfolio.cash), rules


def in_model(security: Security) -> bool:
    return bool(security.target or security.low_drift or security.high_drift)


def request(book: Book) -> Json:
    """Write a book as the body of a request."""
    portfolio, rules = book
    return {
        "positions": [
            {
                "securityId": security.security_id,
                "target": security.target,
                "highDrift": security.high_drift,
                "lowDrift": security.low_drift,
            }
            for security in portfolio.securities
            if in_model(security)
        ],
        "prices": [{"securityId": security.security_id, "price": security.price} for security in portfolio.securities],
        "portfolios": [
            {
                "portfolioId": "P-1",
                "cash": portfolio.cash,
                "holdings": [
                    {"securityId": security.security_id, "quantity": security.quantity}
                    for security in portfolio.securities
                ],
            }
        ],
        "rules": {camel(name): plain(getattr(rules, name)) for name in DRAWERS if changed(rules, name)},
    }


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def changed(rules: Rules, name: str) -> bool:
    return bool(getattr(rules, name) != getattr(Rules(), name))


def plain(value: Json) -> Json:
    if isinstance(value, tuple):
        return [
            item if isinstance(item, str) else {"securityId": item.security_id, "lotSize": item.lot_size}
            for item in value
        ]
    return value if isinstance(value, Decimal) else str(value)


def assert_failed(result: Json, right: NoOutcome) -> None:
    """Assert that a portfolio failed for the reasons that the judge found."""
    assert (result["status"], result["transactions"], result["drifts"]) == ("FAILED", [], [])
    error = result["error"]
    assert error["code"] == "OPTIMIZATION_FAILED"
    assert error["details"]["solverStatus"] == "INFEASIBLE"
    for security_id in right.without_lot:
        assert security_id in error["message"]
    for security_id in right.locked:
        assert security_id in error["message"]
    assert ("PREFERRED" in error["message"]) == right.preferred_helps


def assert_completed(result: Json, portfolio: Portfolio, rules: Rules, right: Optimum) -> None:
    """Assert that every figure of a completed portfolio follows from the right quantities."""
    assert (result["status"], result["error"]) == ("COMPLETED", None)
    value = exact(portfolio.cash) - exact(rules.withdrawal)
    value += sum(exact(security.quantity) * exact(security.price) for security in portfolio.securities)
    fees = spent = before = after = turnover = Fraction(0)
    orders: dict[str, list[tuple[str, Fraction, Decimal]]] = {"SELL": [], "BUY": []}
    for security, quantity in zip(portfolio.securities, right.quantities, strict=True):
        price, trade = exact(security.price), quantity - exact(security.quantity)
        if trade:
            fees += exact(rules.fee_per_order) + exact(rules.fee_rate) * abs(trade) * price
            orders["BUY" if trade > 0 else "SELL"].append((security.security_id, abs(trade), security.price))
        spent += trade * price
        turnover += abs(trade) * price
        before += abs(exact(security.target) * value - exact(security.quantity) * price)
        after += abs(exact(security.target) * value - quantity * price)
    assert [
        (order["transactionType"], order["securityId"], Fraction(order["quantity"]), order["price"])
        for order in result["transactions"]
    ] == [(kind, *order) for kind in ("SELL", "BUY") for order in orders[kind]]
    assert Fraction(result["marketValue"]) == value
    assert Fraction(result["cashBeforeRebalance"]) == exact(portfolio.cash)
    assert Fraction(result["cashAfterRebalance"]) == exact(portfolio.cash) - spent - fees
    assert Fraction(result["fees"]) == fees
    shares = (result["driftBefore"], result["driftAfter"], result["turnover"])
    assert shares == tuple(share(part, value, 6) for part in (before, after, turnover))
    assert_drifts(result["drifts"], portfolio, value, right)
    warned = {warning["code"]: warning["securityIds"] for warning in result["warnings"]}
    assert warned == ({"OUTSIDE_BAND": list(right.outside_band)} if right.outside_band else {})
    proof = result["proof"]
    assert (Fraction(proof["objective"]), Fraction(proof["outside"])) == (right.objective, right.outside)
    assert (proof["bound"], proof["gap"], proof["tieProven"]) == (proof["objective"], 0, True)


def assert_drifts(drifts: Json, portfolio: Portfolio, value: Fraction, right: Optimum) -> None:
    assert len(drifts) == len(portfolio.securities)
    for drift, security, quantity, restraint in zip(
        drifts, portfolio.securities, right.quantities, right.restraints, strict=True
    ):
        price = exact(security.price)
        assert drift["securityId"] == security.security_id
        assert drift["originalActual"] == share(exact(security.quantity) * price, value, 4)
        assert drift["actual"] == share(quantity * price, value, 4)
        assert drift["restraint"] == (None if restraint is None else Restraint(restraint).value)


def share(part: Fraction, whole: Fraction, places: int) -> Decimal:
    """Return a share, halves away from zero; 0 of a market value of 0."""
    scaled = part / whole * 10**places if whole else Fraction(0)
    rounded = (Decimal(abs(scaled.numerator)) / Decimal(scaled.denominator)).quantize(Decimal(1), ROUND_HALF_UP)
    if abs(scaled) % 1 == Fraction(1, 2):
        rounded = Decimal(int(abs(scaled)) + 1)
    return (rounded if scaled >= 0 else -rounded).scaleb(-places)


@pytest.mark.parametrize("rule", ["lotSize", "minimumCash"])
def test_a_rule_that_is_not_accepted_is_named(api: Api, rule: str) -> None:
    """A rule below its limits is rejected by name."""
    book = draw_book(random.Random("named"), [])
    body = request(book) | {"rules": {rule: Decimal(-1)}}
    response = api.post("/optimizations", body).expect(400, "VALIDATION_ERROR")
    assert rule in response.text or api.name(rule) in response.text
