"""Portfolios that are read without decoding each number are shown as if each had been decoded."""

from collections.abc import Sequence
from decimal import Decimal

from bson import InvalidBSON, ObjectId
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.history.packed import packed_json
from app.history.readable import check_readable
from app.history.schemas import PortfolioResultDTO
from app.http.dialect import Dialect
from app.http.exact_json import encode
from persistence import RebalancedPortfolio, RebalancedPosition, Solve, record_of
from persistence.rebalances.packing import packed
from persistence.rebalances.reader import decoded, portfolio_of
from tests.persistence.examples import portfolio, security

ONE = Decimal(1)
PLAIN = replace(
    portfolio(ObjectId(), 3),
    solve=Solve("ROUNDING", Decimal(0), True, 0.5, Decimal("12.34"), Decimal("12.34"), Decimal(0)),
    drift_before=Decimal("0.100000"),
    drift_after=Decimal("0.000001"),
    turnover=Decimal("0.5"),
    fees=Decimal(0),
)


def decimal(coefficient: int, places: int) -> Decimal:
    """Return a number with these digits and decimal places."""
    return Decimal(f"{coefficient}E-{places}")


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
quantities = st.builds(
    decimal,
    st.sampled_from([0, 1, 5, 10, 15_000, 2**64 - 1]) | st.integers(0, 10**5) | st.integers(0, 2**64 - 1),
    st.just(0) | st.integers(0, 18),
)
prices = st.builds(
    decimal,
    st.integers(1, 10**5) | st.integers(1, 10**20),
    st.integers(0, 5) | st.integers(0, 18),
)
targets = st.sampled_from([Decimal(text) for text in ("0", "0.000", "0.005", "0.3", "0.950", "1", "0.00000001")])
bands = st.sampled_from([Decimal(0), Decimal("0.0100"), Decimal("-0.0"), Decimal("1E-7")])
positions = st.builds(
    RebalancedPosition,
    st.integers(0, 99).map(security) | names,
    prices,
    quantities,
    quantities,
    targets,
    bands,
    bands,
    ticker=st.none() | names,
    restraint=st.none() | st.sampled_from(["DO_NOT_TRADE", "IN_BAND"]),
)
money = st.builds(decimal, st.integers(1, 10**33), st.integers(0, 34)) | st.sampled_from(
    [Decimal(20000), Decimal("100.00"), Decimal("0.01")]
)


def shown(whole: RebalancedPortfolio, dialect: Dialect) -> bytes:
    """Return the JSON that is written from a decoded portfolio."""
    return encode(dialect.spell(PortfolioResultDTO.of(whole, dialect)))


def with_positions(*some: RebalancedPosition) -> RebalancedPortfolio:
    """Return a portfolio of these positions whose market value is 20,000."""
    return replace(PLAIN, market_value=Decimal(20_000), positions=some)


def half(quantity: str, price: str, target: str) -> RebalancedPosition:
    """Return a position whose share or drift, of 20,000, has five decimals, the last of which is 5."""
    zero = Decimal(0)
    return RebalancedPosition(security(1), Decimal(price), zero, Decimal(quantity), Decimal(target), zero, zero)


@settings(max_examples=60, deadline=None)
@given(st.lists(positions, min_size=1, max_size=5), money, st.none() | names)
@example([half("1", "1", "0.5"), half("3", "1", "0.5")], Decimal(20_000), "halves of a share")
@example([half("20001", "1", "1"), half("19999", "1", "1"), half("19999.5", "1", "1")], Decimal(20_000), None)
@example([half("0", "1", "0.5"), half("0", "1", "0")], Decimal(20_000), None)
def test_the_json_is_that_of_a_decoded_portfolio(
    some: list[RebalancedPosition], market_value: Decimal, name: str | None
) -> None:
    """Every digit of every field is the same in both dialects, for quantities and prices with any decimals."""
    whole = replace(PLAIN, market_value=market_value, portfolio_name=name, positions=tuple(some))
    one = packed(record_of(whole).document)
    assert one is not None
    check_readable(one)
    assert tuple(one.positions) == whole.positions
    for dialect in Dialect:
        assert packed_json(one, dialect) == shown(whole, dialect)


@settings(max_examples=60, deadline=None)
@given(positions, st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=3, max_size=6))
def test_portfolios_with_the_same_terms_have_quantities_of_their_own(
    position: RebalancedPosition, pairs: list[tuple[int, int]]
) -> None:
    """From the third such portfolio on, the array is compared as a whole, and read like the first."""
    for pair in pairs:
        before, after = (Decimal(value).scaleb(-2) for value in pair)
        moved = replace(position, original_quantity=before, adjusted_quantity=after)
        whole = replace(PLAIN, positions=(moved, replace(moved, security_id=security(5))))
        one = packed(record_of(whole).document)
        assert one is not None
        assert tuple(one.positions) == whole.positions
        assert packed_json(one, Dialect.STANDARD) == shown(whole, Dialect.STANDARD)


def test_no_digit_of_the_longest_price_is_rounded() -> None:
    """A price of 33 digits, as many as the limits of prices allow, in a quantity that is another one."""
    long = Decimal("999999999999999.999999999999999999")
    zero = Decimal(0)
    whole = with_positions(RebalancedPosition(security(1), long, zero, Decimal(3), Decimal("0.5"), zero, zero))
    one = packed(record_of(whole).document)
    assert one is not None
    assert packed_json(one, Dialect.STANDARD) == shown(whole, Dialect.STANDARD)
    assert b"2999999999999999.999999999999999997" in packed_json(one, Dialect.STANDARD)


@settings(max_examples=60, deadline=None)
@given(st.lists(positions, min_size=1, max_size=3), st.data())
def test_a_changed_byte_is_read_as_if_it_were_decoded(some: list[RebalancedPosition], data: st.DataObject) -> None:
    """A document that was changed by hand is shown as it is now, and is unreadable exactly if it would be otherwise."""
    stored = record_of(replace(PLAIN, positions=tuple(some))).document
    packed(stored), packed(stored), packed(stored)
    changed = bytearray(stored)
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = data.draw(st.integers(0, 255))
    one = packed(bytes(changed))
    if one is None:
        return
    try:
        check_readable(one)
    except ValueError:
        return  # and is decoded to find out what is wrong
    try:
        whole = portfolio_of(decoded(bytes(changed)))
        check_readable(whole)
    except (InvalidBSON, ValueError) as error:
        raise AssertionError("a document is shown that cannot be decoded") from error
    assert one.place == whole.place
    for dialect in Dialect:
        assert packed_json(one, dialect) == shown(whole, dialect)


def test_a_portfolio_that_is_unlike_most_is_decoded() -> None:
    """Only completed portfolios of priced positions with a market value and no warning are packed."""
    position = half("3", "1", "0.5")
    assert packed(record_of(with_positions(position)).document) is not None
    unlike: Sequence[RebalancedPortfolio] = [
        with_positions(),
        with_positions(replace(position, price=None)),
        with_positions(replace(position, price=Decimal(0))),
        with_positions(replace(position, target=-ONE)),
        with_positions(replace(position, original_quantity=-ONE)),
        with_positions(replace(position, original_quantity=Decimal(2**64))),
        with_positions(replace(position, original_quantity=Decimal("1E+1"))),
        replace(with_positions(position), market_value=Decimal(0)),
        replace(with_positions(position), market_value=-ONE),
        replace(with_positions(position), market_value=None),
        replace(with_positions(position), drift_before=None),
        replace(with_positions(position), trade_date="2025-02-30"),
        replace(with_positions(position), status="FAILED"),
        replace(with_positions(position), solve=None),
    ]
    assert [packed(record_of(each).document) for each in unlike] == [None] * len(unlike)
