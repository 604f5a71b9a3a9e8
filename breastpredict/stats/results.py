"""What the functions of this room return."""

from __future__ import annotations

from typing import NamedTuple

NO_LIMITS = (float("nan"), float("nan"))


class _Limits(NamedTuple):
    value: float
    low: float
    high: float


class Estimate(_Limits):
    """A number with the limits of its confidence interval: ``(value, low, high)``.

    Attributes:
        value: the estimate; NaN where it does not exist.
        low: lower limit.
        high: upper limit.
        warnings: what a reader must know: why there is no number, that an interval rests on too
            few cases. Not part of the tuple, so estimates compare and unpack as three numbers.
    """

    warnings: tuple[str, ...] = ()

    def __new__(
        cls, value: float, low: float, high: float, warnings: tuple[str, ...] = ()
    ) -> Estimate:
        made = super().__new__(cls, value, low, high)
        made.warnings = tuple(warnings)
        return made

    @classmethod
    def missing(cls, reason: str) -> Estimate:
        """No number, and why."""
        return cls(float("nan"), float("nan"), float("nan"), (reason,))


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
