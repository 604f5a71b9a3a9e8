"""Intraclass correlation and limits of agreement: published numbers, other routes, edges."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq
from scipy.stats import f as f_distribution
from scipy.stats import norm

from breastpredict.errors import InputError
from breastpredict.stats import IccTable, bland_altman, icc, planned_icc_interval

NAMES = ["ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"]


def simulated(
    n: int, k: int, *, subjects: float, raters: float, error: float, seed: int
) -> np.ndarray:
    """Ratings [n, k] of the two-way random model with these standard deviations."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        rng.normal(0, subjects, (n, 1))
        + rng.normal(0, raters, (1, k))
        + rng.normal(0, error, (n, k))
    )


class TestShroutAndFleiss1979:
    """Psychol Bull 86:420, table 2; intervals as R's psych::ICC and SPSS print them."""

    PRINTED: ClassVar = {
        "ICC1": (0.17, -0.13, 0.72, 1.79, 5, 18),
        "ICC2": (0.29, 0.02, 0.76, 11.03, 5, 15),
        "ICC3": (0.71, 0.34, 0.95, 11.03, 5, 15),
        "ICC1k": (0.44, -0.88, 0.91, 1.79, 5, 18),
        "ICC2k": (0.62, 0.07, 0.93, 11.03, 5, 15),
        "ICC3k": (0.91, 0.68, 0.99, 11.03, 5, 15),
    }

    @pytest.fixture
    def table(self, shared: Path) -> IccTable:
        with open(shared / "data/stats/shrout_fleiss_1979.csv", newline="") as file:
            return icc([row[1:] for row in list(csv.reader(file))[1:]])

    @pytest.mark.parametrize("name", NAMES)
    def test_every_form_to_the_printed_digits(self, table: IccTable, name: str) -> None:
        row = table[name]
        found = [round(value, 2) for value in (row.estimate, row.low, row.high, row.F)]
        assert (*found, row.df1, row.df2) == self.PRINTED[name]

    def test_p_values_are_those_of_the_two_f_tests(self, table: IccTable) -> None:
        assert table["ICC1"].p == pytest.approx(0.16477, abs=1e-5)
        assert table["ICC3"].p == pytest.approx(0.000135, abs=1e-6)

    def test_rows_come_in_order_and_by_name(self, table: IccTable) -> None:
        assert [row.name for row in table] == NAMES and len(table) == 6
        assert table[1] is table["ICC2"] and table.subjects == 6 and table.raters == 4
        with pytest.raises(KeyError):
            table["ICC4"]

    def test_six_subjects_are_too_few_to_go_unsaid(self, table: IccTable) -> None:
        assert table.warnings == ("Only 6 subjects: the interval is unreliable",)


class TestAgainstOtherRoutes:
    RATINGS = simulated(14, 3, subjects=2, raters=0.7, error=1, seed=3)

    def test_the_mean_squares_are_those_of_a_regression_on_subjects_and_raters(self) -> None:
        n, k = self.RATINGS.shape
        y = self.RATINGS.ravel()
        of_subject, of_rater = np.repeat(np.eye(n), k, axis=0), np.tile(np.eye(k), (n, 1))

        def rest(*columns: np.ndarray) -> float:
            design = np.hstack([np.ones((n * k, 1)), *columns])
            fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
            return float(((y - fitted) ** 2).sum())

        total, both = rest(), rest(of_subject, of_rater)
        subjects = (total - rest(of_subject)) / (n - 1)
        raters = (total - rest(of_rater)) / (k - 1)
        error = both / ((n - 1) * (k - 1))
        within = rest(of_subject) / (n * (k - 1))
        found = icc(self.RATINGS)
        assert [found[name].F for name in ("ICC1", "ICC3")] == pytest.approx(
            [subjects / within, subjects / error]
        )
        # Variance components, as the coefficients are defined by them.
        s2, r2 = (subjects - error) / k, (raters - error) / n
        assert found["ICC3"].estimate == pytest.approx(s2 / (s2 + error))
        assert found["ICC2"].estimate == pytest.approx(s2 / (s2 + r2 + error))
        assert found["ICC2k"].estimate == pytest.approx(s2 / (s2 + (r2 + error) / k))
        w2 = (subjects - within) / k
        assert found["ICC1"].estimate == pytest.approx(w2 / (w2 + within))

    @pytest.mark.parametrize(("name", "df2"), [("ICC1", 28), ("ICC3", 26)])
    def test_the_limits_are_the_coefficients_that_the_f_test_just_rejects(
        self, name: str, df2: int
    ) -> None:
        row = icc(self.RATINGS)[name]

        def above(rho: float) -> float:
            """P(a ratio at least as large) where the coefficient is rho."""
            return float(f_distribution.sf(row.F * (1 - rho) / (1 + 2 * rho), 13, df2))

        assert row.low == pytest.approx(brentq(lambda r: above(r) - 0.025, -0.49, 0.999))
        assert row.high == pytest.approx(brentq(lambda r: above(r) - 0.975, -0.49, 0.9999))

    def test_limits_of_absolute_agreement_hold_the_truth_as_often_as_they_say(self) -> None:
        """σ² = 4, 0.25 and 1: ρ = 4/5.25. The raters' own spread has 3 degrees of freedom."""
        truth, held = 4 / 5.25, 0
        for seed in range(600):
            rows = icc(simulated(30, 4, subjects=2, raters=0.5, error=1, seed=seed))
            held += rows["ICC2"].low <= truth <= rows["ICC2"].high
        assert 0.925 <= held / 600 <= 0.975

    @settings(max_examples=60, deadline=None)
    @given(arrays(np.float64, (7, 3), elements=st.floats(-50, 50, width=16)))
    def test_limits_hold_the_estimate_and_no_order_or_unit_matters(self, x: np.ndarray) -> None:
        if np.ptp(x) < 1e-3:
            return
        found = icc(x)
        moved = icc((3 * x + 1000)[::-1, [2, 0, 1]])
        for row, other in zip(found, moved, strict=True):
            # F is infinite or a quotient of dust where the ratings agree.
            assert other[1:4] == pytest.approx(row[1:4], rel=1e-5, abs=1e-5, nan_ok=True)
            if not np.isnan([row.low, row.estimate]).any():
                assert row.low <= row.estimate + 1e-9
                assert np.isnan(row.high) or row.estimate <= row.high + 1e-9
                assert row.high <= 1.0 or np.isnan(row.high)


class TestIccAtItsEdges:
    def test_a_subject_with_a_missing_rating_is_left_out_and_counted(self) -> None:
        x = simulated(20, 3, subjects=1, raters=0, error=1, seed=0)
        holed = np.vstack([x, x[:2]])
        holed[20, 1] = holed[21, 0] = np.nan
        found = icc(holed)
        assert found.rows == icc(x).rows
        assert (found.subjects, found.left_out) == (20, 2)
        assert "2 subjects were left out: a rating is missing" in found.warnings

    def test_perfect_agreement_is_one_and_has_no_interval(self) -> None:
        found = icc(np.repeat(np.arange(12.0)[:, np.newaxis] + 0.1, 3, axis=1))
        for row in found:
            assert row.estimate == 1.0 and np.isnan([row.low, row.high]).all()
            assert np.isposinf(row.F) and row.p == 0.0
        assert found.warnings == ("All ratings agree: no interval where the coefficient is 1",)

    def test_a_constant_offset_is_consistent_but_no_agreement(self) -> None:
        x = np.arange(12.0)[:, np.newaxis] / 3 + np.array([0.0, 1.0, 3.0])
        found = icc(x)
        assert found["ICC3"].estimate == 1.0 and np.isnan(found["ICC3"].low)
        assert 0 < found["ICC2"].low < found["ICC2"].estimate < found["ICC2"].high < 1
        assert "constant offset" in found.warnings[0]

    def test_subjects_alike_on_average_give_no_interval_and_no_coefficient_of_the_mean(
        self,
    ) -> None:
        found = icc(np.array([[1.0, 2.0], [2.0, 1.0]] * 6))
        assert found["ICC3"].estimate == pytest.approx(-1.0)
        assert np.isnan(found["ICC3"].low) and np.isnan(found["ICC3k"].estimate)
        assert "The subjects' means do not differ: no interval" in found.warnings

    @pytest.mark.parametrize(
        ("ratings", "says"),
        [
            ([[1.0], [2.0], [3.0]], "There is 1 rater: agreement needs at least two"),
            ([1.0, 2.0, 3.0], "subjects by raters"),
            ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], "All ratings are the same number"),
            ([[1.0, np.nan], [2.0, 3.0]], "1 of 2 subjects have all 2 ratings"),
            ([[1.0, np.inf], [2.0, 3.0]], "infinite"),
            ([["a", "b"], ["c", "d"]], "not a table of numbers"),
            ([[1.0, 2.0], [3.0]], "not a table of numbers"),
        ],
    )
    def test_what_is_no_table_of_ratings_is_refused(self, ratings: object, says: str) -> None:
        with pytest.raises(InputError, match=says):
            icc(ratings)  # type: ignore[arg-type]

    def test_a_level_that_is_no_proportion_is_refused(self) -> None:
        with pytest.raises(InputError, match="confidence level"):
            icc([[1, 2], [2, 4]], level=95)


class TestPlannedInterval:
    def test_sixty_cases_and_two_readers_leave_point_eight_wide(self) -> None:
        """0.80 at n = 60: 0.69 to 0.87 or 0.88 (one-way)."""
        found = planned_icc_interval(0.8, 60, 2)
        assert found.value == pytest.approx(0.8)
        assert round(found.low, 2) == 0.69 and 0.87 <= found.high <= 0.88

    @pytest.mark.parametrize("form", NAMES)
    def test_it_is_the_interval_of_ratings_with_that_coefficient(self, form: str) -> None:
        """Ratings whose subject, rater and residual mean squares are set exactly."""
        n, k = 40, 3
        x = simulated(n, k, subjects=1, raters=1, error=1, seed=1)
        subject = x.mean(axis=1, keepdims=True) - x.mean()
        rater = x.mean(axis=0, keepdims=True) - x.mean()
        rest = x - x.mean() - subject - rater
        # Mean squares 9, 1 and 1.
        subject *= np.sqrt(9 * (n - 1) / (k * (subject**2).sum()))
        rater *= np.sqrt((k - 1) / (n * (rater**2).sum()))
        rest *= np.sqrt((n - 1) * (k - 1) / (rest**2).sum())
        row = icc(subject + rater + rest)[form]
        planned = planned_icc_interval(row.estimate, n, k, form=form)  # type: ignore[arg-type]
        assert tuple(planned) == pytest.approx((row.estimate, row.low, row.high))

    def test_more_cases_and_more_readers_narrow_it(self) -> None:
        widths = [
            found.high - found.low
            for found in (planned_icc_interval(0.8, n, k) for n, k in ((30, 2), (60, 2), (60, 3)))
        ]
        assert widths == sorted(widths, reverse=True)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [((1.0, 60, 2), "from 0 up to 1"), ((-0.1, 60, 2), "from 0"), ((0.8, 60, 1), "two raters")],
    )
    def test_what_is_no_plan_is_refused(self, arguments: tuple[float, int, int], says: str) -> None:
        with pytest.raises(InputError, match=says):
            planned_icc_interval(*arguments)


class TestBlandAltman:
    """Peak expiratory flow, Wright and mini meter, Bland & Altman, Lancet 1986;1:307, table 1."""

    WRIGHT = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
    MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)

    def test_bias_and_deviation_are_those_of_the_paper(self) -> None:
        found = bland_altman(self.WRIGHT, self.MINI)
        assert (round(found.bias.value, 1), round(found.sd, 1), found.n) == (-2.1, 38.8, 17)
        assert [round(limit, 1) for limit in found.bias[1:]] == [-22.0, 17.8]
        # The paper takes 2 for 1.96.
        assert found.lower.value == pytest.approx(-2.12 - 1.96 * 38.77, abs=0.02)
        assert found.upper.value == pytest.approx(-2.12 + 1.96 * 38.77, abs=0.02)

    def test_intervals_of_the_limits_hold_the_true_limits_as_often_as_they_say(self) -> None:
        """With 8 pairs, where the approximate intervals of 1986 fall short."""
        rng = np.random.default_rng(5)
        lower = upper = 0
        for _ in range(1500):
            found = bland_altman(rng.normal(0.5, 2, 8), np.zeros(8))
            lower += found.lower.low <= 0.5 - 2 * norm.ppf(0.975) <= found.lower.high
            upper += found.upper.low <= 0.5 + 2 * norm.ppf(0.975) <= found.upper.high
        assert 0.935 <= lower / 1500 <= 0.965 and 0.935 <= upper / 1500 <= 0.965

    @pytest.mark.parametrize(("n", "factor"), [(5, 4.203), (10, 2.911), (20, 2.396)])
    def test_the_outer_limits_are_one_sided_tolerance_limits(self, n: int, factor: float) -> None:
        """Factors for 95 % of a normal distribution with confidence 95 %: Natrella, Experimental
        Statistics, NBS Handbook 91, table A-7."""
        x = np.random.default_rng(n).normal(3, 2, n)
        found = bland_altman(x, np.zeros(n), agreement=0.9, level=0.9)
        mean, sd = x.mean(), x.std(ddof=1)
        assert (found.upper.high - mean) / sd == pytest.approx(factor, abs=0.001)
        assert (mean - found.lower.low) / sd == pytest.approx(factor, abs=0.001)

    def test_the_inner_side_of_an_interval_is_the_shorter(self) -> None:
        found = bland_altman(self.WRIGHT, self.MINI)
        assert found.upper.high - found.upper.value > found.upper.value - found.upper.low > 0
        assert found.lower.value - found.lower.low > found.lower.high - found.lower.value > 0

    def test_differences_that_grow_with_the_value_have_a_slope(self) -> None:
        x = np.linspace(1, 10, 30)
        noise = np.tile([0.02, -0.01, -0.01], 10)
        assert bland_altman(1.2 * x + noise, x).slope.low > 0.15
        steady = bland_altman(x + 1 + noise, x).slope
        assert steady.low < 0 < steady.high

    def test_swapping_the_two_turns_the_signs(self) -> None:
        one, other = bland_altman(self.WRIGHT, self.MINI), bland_altman(self.MINI, self.WRIGHT)
        assert tuple(other.lower) == pytest.approx([-one.upper[i] for i in (0, 2, 1)])

    def test_pairs_with_a_missing_value_are_left_out_and_counted(self) -> None:
        found = bland_altman([*self.WRIGHT, np.nan], [*self.MINI, 3.0])
        assert found.left_out == 1
        assert tuple(found.bias) == tuple(bland_altman(self.WRIGHT, self.MINI).bias)

    def test_limits_stay_finite_with_many_pairs_and_with_none_apart(self) -> None:
        many = bland_altman(np.random.default_rng(0).normal(size=5000), np.zeros(5000))
        assert 1.9 < many.upper.low < many.upper.value < many.upper.high < 2.05
        same = bland_altman(self.MINI, self.MINI)
        assert tuple(same.lower) == tuple(same.upper) == (0.0, 0.0, 0.0)

    @pytest.mark.parametrize(
        ("a", "b", "says"),
        [
            ([1.0, 2.0], [1.0, 2.0], "at least three"),
            ([1.0, 2.0, 3.0], [1.0, 2.0], "not pairs"),
            ([1.0, 2.0, np.inf], [1.0, 2.0, 3.0], "infinite"),
            (["x"], ["y"], "not numbers"),
        ],
    )
    def test_what_are_no_pairs_is_refused(self, a: object, b: object, says: str) -> None:
        with pytest.raises(InputError, match=says):
            bland_altman(a, b)  # type: ignore[arg-type]
