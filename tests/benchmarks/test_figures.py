"""Percentiles and growth, on numbers small enough to do by hand."""

import pytest

from benchmarks.growth import growth
from benchmarks.latencies import latencies, percentile


def test_a_percentile_is_one_of_the_values() -> None:
    """The nearest rank is used, without interpolation."""
    assert percentile([3.0], 99) == 3.0
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 1001), 99) == 990


def test_latencies_have_median_tail_and_counts() -> None:
    """Failed calls are counted, and are no part of the percentiles."""
    summed_up = latencies([0.1, 0.2, 0.9], failed=2)
    assert (summed_up.median, summed_up.p99, summed_up.longest) == (0.2, 0.9, 0.9)
    assert (summed_up.completed, summed_up.failed) == (3, 2)


def test_what_grows_steadily_has_its_slope_for_an_hour() -> None:
    """One more every second from 100 on."""
    found = growth(range(80), range(100, 180))
    assert (found.first, found.second, found.last) == (109.5, 129.5, 169.5)
    assert found.an_hour == pytest.approx(3600)
    assert found.since_second == pytest.approx(40 / 129.5)


def test_what_settles_after_the_first_quarter_has_not_grown() -> None:
    """Growth while starting is ignored."""
    values = [1, 2, 3, 4, *[5] * 12]
    assert growth(range(16), values).since_second == 0


def test_what_begins_at_nothing_and_grows_has_grown() -> None:
    """Growth from 0 is total growth instead of a division by zero."""
    assert growth(range(8), [0, 0, 0, 0, 0, 0, 3, 3]).since_second == 1
