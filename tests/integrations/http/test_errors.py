"""Errors keep what they say, wherever they go."""

import pickle

import pytest

from integrations.http.errors import Cause, NotFound, ServiceError


@pytest.mark.parametrize("kind", [ServiceError, NotFound])
def test_an_error_survives_pickling_with_everything_it_says(kind: type[ServiceError]) -> None:
    """A copy has the same type, text and attributes."""
    error = kind("pricing", Cause.STATUS, "returned 503", status=503, retry_after=2.5, sent=False)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "pricing: returned 503"
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("cause", "status", "retryable"),
    [
        (Cause.TIMEOUT, None, True),
        (Cause.CONNECTION, None, True),
        (Cause.STATUS, 500, True),
        (Cause.STATUS, 599, True),
        (Cause.STATUS, 408, True),
        (Cause.STATUS, 429, True),
        (Cause.STATUS, 499, False),
        (Cause.STATUS, 302, False),
        (Cause.BAD_PAYLOAD, None, False),
        (Cause.CIRCUIT_OPEN, None, False),
        (Cause.DEADLINE, None, False),
    ],
)
def test_only_silent_failing_and_busy_services_are_worth_a_retry(
    cause: Cause, status: int | None, retryable: bool
) -> None:
    """Time-outs, lost connections, 408, 429 and 5xx are retryable, and nothing else."""
    assert ServiceError("pricing", cause, "why", status=status).retryable is retryable
