"""A portfolio's record is the document that PyMongo would have written, byte for byte in its values."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from bson import InvalidBSON, ObjectId, decode, encode
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from persistence import Failure, PortfolioWarning, RebalancedPortfolio, RebalancedPosition, Solve, record_of
from persistence.codec import CODEC_OPTIONS, Document, to_document
from persistence.rebalances.reader import decoded, portfolio_of
from tests.persistence.examples import NOON, portfolio

decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12),
    st.integers(-(10**33), 10**33).map(Decimal),
    st.builds(
        lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**20), 10**20), st.integers(-30, 30)
    ),
    st.sampled_from([Decimal("-0.00"), Decimal("0E+3"), Decimal("1.500"), Decimal("9" * 34), Decimal("0." + "9" * 34)]),
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
rows = st.builds(
    RebalancedPosition,
    texts,
    st.none() | decimals,
    *[decimals] * 5,
    ticker=st.none() | texts,
    restraint=st.none() | st.sampled_from(["DO_NOT_TRADE", "UNPRICED"]),
)


wholes = st.builds(
    RebalancedPortfolio,
    rebalance_id=st.just(ObjectId()),
    place=st.integers(0, 5000),
    portfolio_id=texts,
    portfolio_name=st.none() | texts,
    status=st.sampled_from(["COMPLETED", "FAILED"]),
    failure=st.none() | st.builds(Failure, texts, texts, st.dictionaries(texts, decimals), st.just(NOON), texts),
    market_value=st.none() | decimals,
    cash_before=st.none() | decimals,
    cash_after=st.none() | decimals,
    trade_date=st.just("2025-08-10"),
    positions=st.lists(rows, max_size=12).map(tuple),
    solve=st.none() | st.builds(Solve, texts, decimals, st.booleans(), st.floats(0, 60), st.none() | decimals),
    drift_before=st.none() | decimals,
    fees=st.none() | decimals,
    warnings=st.lists(st.builds(PortfolioWarning, texts, texts, st.lists(texts).map(tuple)), max_size=2).map(tuple),
)


@given(wholes)
def test_it_is_what_pymongo_would_write(whole: RebalancedPortfolio) -> None:
    """But for the order of the last two fields, and to the last trailing zero."""
    record = record_of(whole)
    document = to_document(whole)
    key = {"rebalanceId": document.pop("rebalanceId"), "place": document.pop("place")}
    positions = document.pop("positions")
    document = {"_id": key, **document, "positions": positions}
    assert record.document == encode(document, codec_options=CODEC_OPTIONS)
    assert (record.place, record.portfolio_id) == (whole.place, whole.portfolio_id)
    assert portfolio_of(decode(record.document, CODEC_OPTIONS)) == whole
    assert portfolio_of(decoded(record.document)) == whole


@given(st.lists(rows, min_size=1, max_size=4), st.data())
def test_a_changed_byte_is_read_as_pymongo_reads_it(some: list[RebalancedPosition], data: st.DataObject) -> None:
    """The reader of the fixed layout accepts nothing that PyMongo rejects, and reads nothing differently."""
    document = bytearray(record_of(replace(portfolio(ObjectId(), 3), positions=tuple(some))).document)
    place = data.draw(st.integers(4, len(document) - 1))
    document[place] = data.draw(st.integers(0, 255))
    assert outcome(lambda: decoded(bytes(document))) == outcome(lambda: decode(document, CODEC_OPTIONS))


def outcome(read: Callable[[], Document]) -> RebalancedPortfolio | type[Exception]:
    """Return the portfolio, or the kind of error that reading it raises."""
    try:
        return portfolio_of(read())
    except InvalidBSON:
        return InvalidBSON
    except (ValueError, KeyError, TypeError):
        return ValueError


def test_more_digits_than_can_be_stored_are_refused() -> None:
    """The hand-written encoder raises instead of cutting digits."""
    one = portfolio(ObjectId(), 0)
    for quantity in (Decimal("1" * 35), Decimal("-" + "1" * 35), Decimal("1." + "1" * 34)):
        with pytest.raises(ValueError, match="more digits than the 34"):
            record_of(replace(one, positions=(replace(one.positions[0], adjusted_quantity=quantity),)))
