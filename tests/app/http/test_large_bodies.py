"""Large bodies are rejected with the same faults as small ones, at a cost that is bounded."""

import json
import random
from typing import Any

import pytest

from app.errors.codes import OrderGenerationError
from app.http import faults, scalars
from app.http.dialect import Dialect, snake_case
from app.http.exact_json import decode
from app.optimizations.schemas import OptimizationRequest

SEED = 7
BODIES = 400
JUNK: tuple[Any, ...] = (None, 1, "x", [], {}, "1.5", -3, 10**20, True, "a" * 300, float("nan"))


def _request(portfolios: int, holdings: int) -> dict[str, Any]:
    band = {"target": 0.1, "highDrift": 0.1, "lowDrift": 0.05}
    held = [{"securityId": f"s{each}", "quantity": 3.5} for each in range(holdings)]
    return {
        "positions": [{"securityId": f"s{each}", **band} for each in range(3)],
        "prices": [{"securityId": f"s{each}", "price": 3.5} for each in range(holdings)],
        "portfolios": [{"portfolioId": f"p{each}", "cash": 1, "holdings": held} for each in range(portfolios)],
        "rules": {"doNotTrade": ["s1"], "lotSizes": [{"securityId": "s1", "lotSize": 1}]},
    }


def _damaged(value: Any, chance: random.Random) -> Any:
    """Replace, remove and add values at random."""
    match value:
        case dict():
            result = {}
            for name, inner in value.items():
                luck = chance.random()
                if luck < 0.04:
                    result[name] = chance.choice(JUNK)
                elif luck > 0.98:
                    result[f"{name}x"] = 1
                elif luck < 0.96:
                    result[name] = _damaged(inner, chance)
            return result
        case list():
            return [chance.choice(JUNK) if chance.random() < 0.02 else _damaged(each, chance) for each in value]
        case _:
            return value


def _spelled(value: Any, dialect: Dialect) -> Any:
    match value:
        case dict() if dialect is Dialect.GLOBECO:
            return {snake_case(name): _spelled(inner, dialect) for name, inner in value.items()}
        case list():
            return [_spelled(each, dialect) for each in value]
        case _:
            return value


def _rejection(body: bytes, dialect: Dialect) -> Any:
    try:
        decode(body, OptimizationRequest, dialect)
    except OrderGenerationError as error:
        return error.details["errors"]
    return None


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_large_body_has_the_faults_that_a_small_one_has(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also faults of the syntax, and keys that are repeated at any depth."""
    chance = random.Random(SEED)
    rejected = 0
    for _ in range(BODIES):
        text = json.dumps(_spelled(_damaged(_request(4, 4), chance), dialect))
        if chance.random() < 0.2:
            text = text.replace('"cash"', '"cash": 1, "cash"', 1)
        if chance.random() < 0.1:
            text = text.replace('"prices"', '"prices": [], "prices"', 1)
        if chance.random() < 0.1:
            text = text[: chance.randint(1, len(text))]
        monkeypatch.setattr(faults, "LARGE_BYTES", 10**9)
        small = _rejection(text.encode(), dialect)
        monkeypatch.setattr(faults, "LARGE_BYTES", 10)
        assert _rejection(text.encode(), dialect) == small, text
        rejected += small is not None
    assert rejected > BODIES / 2


def test_of_a_large_body_only_the_elements_with_faults_are_read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder, which is ten times faster, reads the others."""
    read = 0
    slow = scalars.decoded

    def counted(*arguments: Any) -> Any:
        nonlocal read
        read += 1
        return slow(*arguments)

    monkeypatch.setattr(faults, "decoded", counted)
    request = _request(200, 50)
    request["portfolios"][-1] = {**request["portfolios"][-1], "cash": "much"}
    body = json.dumps(request).encode()
    assert len(body) > 300_000
    found = _rejection(body, Dialect.STANDARD)
    assert found == [{"field": "portfolios[199].cash", "rule": "must be a number, or a string that holds one"}]
    assert 0 < read < 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"positions":[' + b"1," * 1_000_000 + b"1]}",
        b'{"positions":[' + b"{}," * 700_000 + b"{}]}",
        b'{"positions":' + b"[" * 1_000_000,
        b"{" + b",".join(b'"key%d":1' % each for each in range(200_000)) + b"}",
    ],
    ids=["numbers", "objects", "arrays in arrays", "keys"],
)
def test_a_body_of_too_many_values_is_rejected_before_it_is_read(body: bytes) -> None:
    """Each of these would take seconds, and hundreds of megabytes, to read."""
    assert _rejection(body, Dialect.STANDARD) == [
        {"field": "body", "rule": "has more values than any valid body of its length"}
    ]


def test_the_densest_valid_body_is_accepted() -> None:
    """Ids of one character, no spaces, and the longest lists of ids that rules may have."""
    ids = [f"{each:x}" for each in range(10_000)]
    request = _request(0, 0) | {
        "portfolios": [
            {"portfolioId": f"{each:x}", "cash": 0, "holdings": [{"securityId": "1", "quantity": 1}] * 1}
            for each in range(1_000)
        ],
        "rules": {"doNotTrade": ids, "doNotBuy": ids, "doNotSell": ids},
    }
    assert _rejection(json.dumps(request, separators=(",", ":")).encode(), Dialect.STANDARD) is None
