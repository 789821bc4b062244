"""The values of the API with what its document says of them beyond their type; the rules are checked elsewhere."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from app.http.exact_json import Number
from app.http.identifiers import EXTERNAL_ID_PATTERN, OBJECT_ID_PATTERN, OPTIMIZATION_ID_PATTERN
from app.limits import MAXIMUM_NAME_LENGTH, MAXIMUM_PORTFOLIOS, MAXIMUM_TARGET, TARGET_STEP
from solver import Restraint, SolutionPath


def _meta(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


# The limits are text of the document, which their shortest float spells right.
_TARGET_LIMITS = {"minimum": 0, "maximum": float(MAXIMUM_TARGET)}
_DRIFT_LIMITS = {"minimum": 0, "maximum": 1}

# --- ids and names -------------------------------------------------------------------------------------------------
ModelReference = Annotated[str, _meta("Id of the model.", pattern=OBJECT_ID_PATTERN)]
RebalanceId = Annotated[str, _meta("Id of the rebalance.", pattern=OBJECT_ID_PATTERN)]
RebalanceReference = Annotated[
    str | None, _meta("Id of the stored rebalance; null if nothing was stored.", pattern=OBJECT_ID_PATTERN)
]
ExternalId = Annotated[str, _meta("Id of a security or a portfolio.", pattern=EXTERNAL_ID_PATTERN)]
SecurityId = Annotated[str, _meta("Id of the security.", pattern=EXTERNAL_ID_PATTERN)]
PortfolioId = Annotated[str, _meta("Id of the portfolio.", pattern=EXTERNAL_ID_PATTERN)]
OptimizationId = Annotated[str, _meta("The caller's id, unique in its list.", pattern=OPTIMIZATION_ID_PATTERN)]
SecurityReference = Annotated[str, _meta("Id of the security.")]
PortfolioReference = Annotated[str, _meta("Id of the portfolio.")]
PortfolioIds = Annotated[
    list[ExternalId], _meta("Ids of portfolios, without repetitions.", maxItems=MAXIMUM_PORTFOLIOS)
]
ModelName = Annotated[
    str, _meta("Name of the model, unique.", minLength=1, maxLength=MAXIMUM_NAME_LENGTH, pattern=r"\S")
]
PortfolioName = Annotated[
    str | None, _meta("Name of the portfolio; null if the Portfolio Service did not provide it in time.")
]
Ticker = Annotated[str | None, _meta("Ticker of the security; null if unknown.")]

# --- times and versions --------------------------------------------------------------------------------------------
Moment = Annotated[datetime, _meta("Date and time in UTC.", format="date-time")]
TradeDate = Annotated[date, _meta("Day of the trade in the configured time zone.", format="date")]
LastRebalanceDate = Annotated[
    datetime | None, _meta("When the model was last rebalanced, UTC; null if never.", format="date-time")
]
VersionNumber = Annotated[int, _meta("Version of the document, for optimistic locking.", minimum=1)]
PortfolioCount = Annotated[int, _meta("Number of portfolios in the rebalance.", minimum=1)]

# --- targets and drift bands ---------------------------------------------------------------------------------------
Target = Annotated[Decimal, _meta("Target share of the market value.", **_TARGET_LIMITS)]
HighDrift = Annotated[Decimal, _meta("How far the weight may exceed the target.", **_DRIFT_LIMITS)]
LowDrift = Annotated[Decimal, _meta("How far the weight may fall short of the target.", **_DRIFT_LIMITS)]
RequestedTarget = Annotated[
    Number,
    _meta(
        "Target share of the market value: 0 or a multiple of 0.005. A number, or a string that holds one.",
        **_TARGET_LIMITS,
        multipleOf=float(TARGET_STEP),
    ),
]
RequestedHighDrift = Annotated[Number, _meta("How far the weight may exceed the target.", **_DRIFT_LIMITS)]
RequestedLowDrift = Annotated[
    Number, _meta("How far the weight may fall short of the target; at most the high drift.", **_DRIFT_LIMITS)
]

# --- results of a rebalance ----------------------------------------------------------------------------------------
TransactionType = Annotated[Literal["BUY", "SELL"], _meta("Whether shares are bought or sold.")]
PositionTransactionType = Annotated[
    Literal["BUY", "SELL"] | None, _meta("Whether shares are bought or sold; null if the position is not traded.")
]
PortfolioStatus = Annotated[Literal["COMPLETED", "FAILED"], _meta("Whether the portfolio was rebalanced.")]
Shares = Annotated[
    Decimal,
    _meta("Shares traded: an integer unless the security's lot size is fractional.", exclusiveMinimum=0),
]
TradeQuantity = Annotated[
    Decimal | None,
    _meta("Shares traded, an integer unless the security's lot size is fractional; null if it is not traded."),
]
PositionTradeDate = Annotated[
    date | None, _meta("Day of the trade; null if the position is not traded.", format="date")
]
TradePrice = Annotated[Decimal, _meta("Money per share.", exclusiveMinimum=0)]
Price = Annotated[Decimal | None, _meta("Money per share; null if the security has no price and is held unchanged.")]
TradeValue = Annotated[Decimal, _meta("Quantity times price, money.", exclusiveMinimum=0)]
OriginalQuantity = Annotated[Decimal, _meta("Shares held before the trades; negative if short.")]
FinalQuantity = Annotated[Decimal, _meta("Shares held after the trades.")]
OriginalValue = Annotated[Decimal, _meta("Money that the position was worth before the trades.")]
FinalValue = Annotated[Decimal, _meta("Money that the position is worth after the trades.")]
OriginalActual = Annotated[Decimal, _meta("Weight before the trades, 4 decimal places, half up.")]
Actual = Annotated[Decimal, _meta("Weight after the trades, 4 decimal places, half up.")]
ActualDrift = Annotated[
    Decimal, _meta("Weight after the trades / target - 1, 4 decimal places, half up; 0 if the target is 0.")
]
MarketValue = Annotated[
    Decimal | None, _meta("Cash and holdings less a withdrawal, money; targets refer to it. Null if it failed.")
]
CashBefore = Annotated[Decimal | None, _meta("Cash before the trades, money; null if the portfolio failed.")]
CashAfter = Annotated[Decimal | None, _meta("Cash after trades and fees, money; null if the portfolio failed.")]
DriftBefore = Annotated[
    Decimal | None, _meta("Sum of |target - weight| before the trades, 6 decimal places; null if it failed.")
]
DriftAfter = Annotated[
    Decimal | None, _meta("Sum of |target - weight| after the trades, 6 decimal places; null if it failed.")
]
Turnover = Annotated[Decimal | None, _meta("Traded value / market value, 6 decimal places; null if it failed.")]
Fees = Annotated[Decimal | None, _meta("Cost of the trades, money; null if the portfolio failed.")]
RestraintName = Annotated[
    str | None,
    _meta(
        "The rule that kept the security from a better quantity, or outside its band; null if none did.",
        enum=[*Restraint, None],
    ),
]
WARNING_CODES = ("NO_BALANCES", "OUTSIDE_BAND", "NOT_PRICED")
WarningCode = Annotated[str, _meta("The kind of warning.", enum=list(WARNING_CODES))]
WarningMessage = Annotated[str, _meta("The warning as a sentence.")]
WarningSecurities = Annotated[list[SecurityReference], _meta("The securities that the warning concerns.")]

# --- proofs --------------------------------------------------------------------------------------------------------
Path = Annotated[SolutionPath, _meta("The method that found the trades.")]
Gap = Annotated[Decimal, _meta("Money by which the objective could at most still fall; 0 if optimal.", minimum=0)]
TieProven = Annotated[bool, _meta("Whether the choice among equally good trades is proven as well.")]
Objective = Annotated[Decimal, _meta("What was minimised, fees included, money.")]
Bound = Annotated[Decimal, _meta("Proven lower bound of the objective, money.")]
Outside = Annotated[Decimal, _meta("Money outside the drift bands, if bands are preferred; otherwise 0.", minimum=0)]
