"""What the functions of this room return."""

from __future__ import annotations

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number with the limits of its confidence interval."""

    value: float
    low: float
    high: float


class TestResult(NamedTuple):
    """A hypothesis test.

    Attributes:
        statistic: the test statistic.
        p_value: two-sided p value.
        difference: the tested difference, first minus second.
    """

    statistic: float
    p_value: float
    difference: float


TestResult.__test__ = False  # type: ignore[attr-defined]  # pytest must not take it for tests
