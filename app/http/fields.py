"""The values of the API with what its document says of them beyond their type; the rules are checked elsewhere."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from app.http.exact_json import Number
from app.http.identifiers import EXTERNAL_ID_PATTERN, OBJECT_ID_PATTERN
from app.models.rules import MAXIMUM_NAME_LENGTH, MAXIMUM_PORTFOLIOS, MAXIMUM_TARGET, TARGET_STEP
from solver import SolutionPath

# The limits are text of the document, which their shortest float spells right.
_TARGET_LIMITS = {"minimum": 0, "maximum": float(MAXIMUM_TARGET)}
_DRIFT_LIMITS = {"minimum": 0, "maximum": 1}

ResourceId = Annotated[str, Meta(extra_json_schema={"pattern": OBJECT_ID_PATTERN})]
"""The id of a model or a rebalance."""
ExternalId = Annotated[str, Meta(extra_json_schema={"pattern": EXTERNAL_ID_PATTERN})]
"""The id of a security or a portfolio."""
PortfolioIds = Annotated[list[ExternalId], Meta(extra_json_schema={"maxItems": MAXIMUM_PORTFOLIOS})]
ModelName = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAXIMUM_NAME_LENGTH, "pattern": r"\S"})]
Moment = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
VersionNumber = Annotated[int, Meta(extra_json_schema={"minimum": 1})]

Target = Annotated[Decimal, Meta(description="Share of the market value.", extra_json_schema=_TARGET_LIMITS)]
HighDrift = Annotated[
    Decimal, Meta(description="By how much the share may exceed the target.", extra_json_schema=_DRIFT_LIMITS)
]
LowDrift = Annotated[
    Decimal, Meta(description="By how much the share may fall short of the target.", extra_json_schema=_DRIFT_LIMITS)
]
RequestedTarget = Annotated[
    Number,
    Meta(
        description="Share of the market value: 0 or a multiple of 0.005. A number, or a string that holds one.",
        extra_json_schema={**_TARGET_LIMITS, "multipleOf": float(TARGET_STEP)},
    ),
]
RequestedHighDrift = Annotated[
    Number, Meta(description="By how much the share may exceed the target.", extra_json_schema=_DRIFT_LIMITS)
]
RequestedLowDrift = Annotated[
    Number,
    Meta(
        description="By how much the share may fall short of the target; at most the high drift.",
        extra_json_schema=_DRIFT_LIMITS,
    ),
]

TransactionType = Literal["BUY", "SELL"]
Status = Literal["COMPLETED", "FAILED"]
Shares = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
Price = Annotated[Decimal, Meta(extra_json_schema={"exclusiveMinimum": 0})]
FinalQuantity = Annotated[Decimal, Meta(description="Shares held after the trade.")]
OriginalQuantity = Annotated[Decimal, Meta(description="Shares held before; negative when short.")]
Actual = Annotated[Decimal, Meta(description="Share of the market value after the trade, four decimals, half up.")]
ActualDrift = Annotated[
    Decimal, Meta(description="How far the actual lies from the target, as a share of the target; 0 without a target.")
]
Path = Annotated[SolutionPath, Meta(description="The method that found the trades.")]
Gap = Annotated[
    Decimal,
    Meta(
        description="Money by which the distance from the model could at most still fall; 0: they are optimal.",
        extra_json_schema={"minimum": 0},
    ),
]
TieProven = Annotated[bool, Meta(description="Whether no optimal trades move fewer shares.")]
PortfolioCount = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
