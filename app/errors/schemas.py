"""An error as every response contains it, whether it is the whole response or the result of one portfolio."""

from msgspec import Struct

from app.errors.codes import Details, ErrorCode
from app.http.fields import Moment
from persistence import Failure


class ErrorDTO(Struct, frozen=True, rename="camel"):
    """The inner object of the error envelope."""

    code: ErrorCode
    message: str
    details: Details
    timestamp: Moment
    trace_id: str

    @classmethod
    def of(cls, failure: Failure | None) -> "ErrorDTO | None":
        """Show why a portfolio failed."""
        if failure is None:
            return None
        return cls(ErrorCode(failure.code), failure.message, failure.details, failure.timestamp, failure.trace_id)
