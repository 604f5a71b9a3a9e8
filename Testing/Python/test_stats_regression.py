"""Logistic regression, calibration and tests: published numbers, other libraries, and edges."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from breastpredict.errors import InputError
from breastpredict.stats import (
    calibration,
    fisher_odds_ratio,
    logistic,
    rank_sum_test,
    welch_test,
    wilson,
)

VARIABLES = ("HER2pos", "HR", "age")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ispy2(shared: Path) -> dict[str, np.ndarray]:
    """The 979 I-SPY2 patients with a known age."""
    table = rows_of(shared / "data" / "clinical" / "ispy2" / "metadata_spy2_vis1_for_modeling.csv")
    known = [row for row in table if row["age"]]
    return {name: np.array([float(r[name]) for r in known]) for name in (*VARIABLES, "pCR")}


@pytest.fixture(scope="module")
def asah(shared: Path) -> dict[str, np.ndarray]:
    """Poor outcome after subarachnoid haemorrhage, and WFNS / 6 taken as its probability."""
    table = rows_of(shared / "data" / "stats" / "aSAH.csv")
    return {
        "poor": np.array([row["outcome"] == "Poor" for row in table]),
        "p": np.array([float(row["wfns"]) / 6 for row in table]),
    }


def simulated(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) * [1, 100]
    return rng.random(n) < expit(x @ [1, 0.005] - 0.5), x


def deviance_at(y: np.ndarray, x: np.ndarray, column: int, coefficient: float) -> float:
    """Likelihood ratio of one coefficient held fixed, by another optimiser."""
    design = np.column_stack([np.ones(len(y)), x])
    scale = np.abs(design).max(axis=0)

    def loss(free: np.ndarray, held: bool) -> float:
        beta = np.insert(free, column, coefficient * scale[column]) if held else free
        eta = design / scale @ beta
        return float(np.logaddexp(0, eta).sum() - y @ eta)

    best = minimize(loss, np.zeros(design.shape[1]), (False,), tol=1e-12).fun
    return 2 * (minimize(loss, np.zeros(design.shape[1] - 1), (True,), tol=1e-12).fun - best)


class TestPublishedNumbers:
    def test_logistic_regression_of_ispy2(self, ispy2: dict[str, np.ndarray]) -> None:
        table = np.column_stack([ispy2[name] for name in VARIABLES])
        found = logistic(ispy2["pCR"], table, VARIABLES)
        assert found.n == 979
        assert found.coefficients == pytest.approx(
            [-0.17303, 1.01345, -1.12281, -0.00583], abs=5e-6
        )
        # The rest as statsmodels 0.15.0 prints it.
        assert [row.standard_error for row in found.rows] == pytest.approx(
            [0.3478087236, 0.1633076259, 0.1478344584, 0.0068647503], abs=5e-10
        )
        assert found.log_likelihood == pytest.approx(-571.075076312937, abs=1e-9)
        assert found.null_log_likelihood == pytest.approx(-614.9947496, abs=1e-6)
        assert found.rows[3].p_value == pytest.approx(0.3957218239, abs=1e-9)  # likelihood ratio
        wald = logistic(ispy2["pCR"], table, VARIABLES, interval="wald").rows
        assert [row.p_value for row in wald[1:]] == pytest.approx(
            [5.4429430300e-10, 3.0775039081e-14, 3.9601453342e-01], rel=1e-7
        )
        assert wald[1].odds_ratio == pytest.approx(
            np.exp([1.0134497088, 0.6933726437, 1.333526774]), rel=1e-8
        )

    def test_odds_ratio_and_fisher_test_of_ispy2(self) -> None:
        found = fisher_odds_ratio([[535, 205], [131, 111]])
        assert found.odds_ratio.value == pytest.approx(2.2113, abs=5e-5)
        assert found.p_value == pytest.approx(3.278e-07, rel=2e-4)

    def test_woolf_interval_is_wald_s_of_the_logistic_model(self) -> None:
        y = np.repeat([0, 1, 0, 1], [535, 205, 131, 111])
        her2 = np.repeat([0, 0, 1, 1], [535, 205, 131, 111])
        model = logistic(y, her2, interval="wald").rows[1].odds_ratio
        assert fisher_odds_ratio([[535, 205], [131, 111]]).odds_ratio == pytest.approx(model)

    def test_the_sleep_data(self, shared: Path) -> None:
        rows = rows_of(shared / "data" / "stats" / "sleep.csv")
        first, second = (
            [float(row["extra"]) for row in rows if row["group"] == g] for g in ("1", "2")
        )
        welch, wilcoxon = welch_test(first, second), rank_sum_test(first, second)
        assert welch.statistic == pytest.approx(-1.8608, abs=5e-5)
        assert welch.p_value == pytest.approx(0.07939, abs=5e-6)
        assert welch.difference == pytest.approx(0.75 - 2.33)
        assert (wilcoxon.statistic, wilcoxon.p_value) == pytest.approx((25.5, 0.06933), abs=5e-6)


class TestLogistic:
    def test_coefficients_are_those_of_scikit_learn(self) -> None:
        y, x = simulated()
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(x / [1, 100], y)
        found = logistic(y, x)
        assert found.coefficients == pytest.approx(
            [model.intercept_[0], *(model.coef_[0] / [1, 100])], abs=1e-4
        )
        assert found.predict(x) == pytest.approx(model.predict_proba(x / [1, 100])[:, 1], abs=1e-4)
        assert [row.name for row in found.rows] == ["intercept", "x1", "x2"]

    def test_profile_limits_lie_where_the_likelihood_ratio_is_the_quantile(self) -> None:
        y, x = simulated(60)
        for column, row in enumerate(logistic(y, x).rows):
            for limit in np.log(row.odds_ratio[1:]):
                assert deviance_at(y, x, column, limit) == pytest.approx(3.841459, abs=2e-3)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6), st.integers(12, 60))
    def test_exchanging_the_classes_changes_the_signs(self, seed: int, n: int) -> None:
        y, x = simulated(n, seed)
        try:
            one = logistic(y, x)
        except InputError:
            assume(False)
        other = logistic(~y, x)
        assert other.coefficients == pytest.approx(-one.coefficients, rel=1e-5, abs=1e-6)
        for a, b in zip(one.rows, other.rows, strict=True):
            value, low, high = b.odds_ratio
            assert np.log(a.odds_ratio) == pytest.approx(
                -np.log([value, high, low]), rel=1e-3, abs=1e-4
            )
            assert a.p_value == pytest.approx(b.p_value, abs=1e-5)

    def test_firth_s_estimate_of_a_two_by_two_table_adds_one_half_to_each_cell(self) -> None:
        y, x = np.repeat([0, 1, 0, 1], [10, 0, 4, 6]), np.repeat([0, 0, 1, 1], [10, 0, 4, 6])
        row = logistic(y, x, method="firth").rows[1]
        assert row.odds_ratio.value == pytest.approx(10.5 * 6.5 / (0.5 * 4.5), rel=1e-6)
        assert row.odds_ratio.low > 1 and np.isfinite(row.odds_ratio.high)

    @pytest.mark.parametrize("x", [[1, 2, 3, 4, 5, 6], [1, 2, 3, 3, 4, 5]])
    def test_separation_is_said_and_the_variable_named(self, x: list[int]) -> None:
        """Complete, and with one tied value quasi-complete."""
        other = [5, 1, 4, 2, 6, 3]
        with pytest.raises(InputError, match=r"separated by her2: .*firth"):
            logistic([0, 0, 0, 1, 1, 1], np.column_stack([other, x]), ["age", "her2"])

    def test_a_variable_that_nearly_separates_has_limits(self) -> None:
        y, x = np.repeat([0, 1], 20), np.arange(40.0)
        x[19], x[20] = 20.5, 19.5
        odds = logistic(y, x).rows[1].odds_ratio
        assert 1 < odds.low < odds.value < odds.high < np.inf

    def test_too_many_variables_for_the_events_are_said(self) -> None:
        y, x = simulated(60)
        assert "for 2 variables" in logistic(y[:30], x[:30]).warnings[0]
        assert logistic(*simulated()).warnings == ()

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            ([[1, 2], [2, 4], [3, 6], [4, 8]], "x2 is a combination"),
            ([[1, 7], [2, 7], [1, 7], [2, 7]], "x2 is constant"),
            ([[1], [np.nan], [1], [3]], "1 cases have a missing variable"),
            ([["a"], ["b"], ["c"], ["d"]], "not numbers"),
            ([[1], [2], [3]], "4 labels but 3 rows"),
        ],
    )
    def test_unusable_variables_are_refused(self, x: list, message: str) -> None:
        with pytest.raises(InputError, match=message):
            logistic([0, 1, 1, 0], x)

    def test_other_refusals(self) -> None:
        y, x = simulated()
        with pytest.raises(InputError, match="2 variables but 1 names"):
            logistic(y, x, ["age"])
        with pytest.raises(InputError, match="no logistic interval"):
            logistic(y, x, interval="exact")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="2 variables but 1 are given"):
            logistic(y, x).predict(x[:, 0])


class TestCalibration:
    def test_intercept_and_slope_on_asah(self, asah: dict[str, np.ndarray]) -> None:
        """Estimates as statsmodels 0.15.0 prints them (GLM with offset, Logit)."""
        found = calibration(asah["poor"], asah["p"])
        assert found.intercept.value == pytest.approx(-0.3660098458, abs=1e-8)
        assert found.slope.value == pytest.approx(1.0995915818, abs=1e-8)
        x = logit(asah["p"])
        for limit in found.slope[1:]:
            assert deviance_at(asah["poor"], x, 1, limit) == pytest.approx(3.841459, abs=2e-3)

        def deviance(intercept: float) -> float:
            eta = x + intercept
            return 2 * float(np.logaddexp(0, eta).sum() - asah["poor"] @ eta)

        for limit in found.intercept[1:]:
            ratio = deviance(limit) - deviance(found.intercept.value)
            assert ratio == pytest.approx(3.841459, abs=1e-5)

    def test_a_distortion_of_true_probabilities_is_found(self) -> None:
        """Logits doubled and moved by 1: slope 1/2; the intercept solves Σ y = Σ p."""
        rng = np.random.default_rng(0)
        true = rng.normal(size=10000)
        y = rng.random(true.size) < expit(true)
        told = calibration(y, expit(2 * true + 1))
        assert told.slope.low < 0.5 < told.slope.high
        assert told.intercept.high < -0.5
        assert y.sum() == pytest.approx(expit(2 * true + 1 + told.intercept.value).sum())
        right = calibration(y, expit(true))
        assert right.slope.value == pytest.approx(1, abs=0.1)  # four standard errors
        assert right.intercept.value == pytest.approx(0, abs=0.1)

    def test_brier_score_and_its_reference(self, asah: dict[str, np.ndarray]) -> None:
        y, p = asah["poor"], asah["p"]
        found = calibration(y, p)
        assert found.brier.value == pytest.approx(brier_score_loss(y, p))
        assert found.brier_reference == pytest.approx(
            brier_score_loss(y, np.full(y.size, y.mean()))
        )
        assert found.brier_scaled == pytest.approx(1 - found.brier.value / found.brier_reference)
        errors = (p - y) ** 2
        half = 1.96 * errors.std(ddof=1) / np.sqrt(y.size)
        assert found.brier[1:] == pytest.approx(
            (errors.mean() - half, errors.mean() + half), abs=0.01
        )

    def test_reliability_curve_is_that_of_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        p = rng.random(500)
        y = rng.random(500) < p
        found = calibration(y, p, bins=5)
        observed, expected = calibration_curve(y, p, n_bins=5, strategy="quantile")
        assert found.observed == pytest.approx(observed, abs=0.011)  # edges differ by one case
        assert found.expected == pytest.approx(expected, abs=0.01)
        assert found.counts == pytest.approx([100] * 5, abs=1)
        for k, n, low, high in zip(
            found.observed * found.counts, found.counts, found.low, found.high, strict=True
        ):
            assert wilson(round(k), n)[1:] == pytest.approx((low, high))

    def test_equal_predictions_share_a_bin(self) -> None:
        found = calibration([0, 1, 0, 1, 1, 0], [0.2, 0.2, 0.2, 0.2, 0.7, 0.7])
        assert found.counts.tolist() == [4, 2]
        assert found.expected == pytest.approx([0.2, 0.7])
        assert found.observed == pytest.approx([0.5, 0.5])

    def test_a_constant_prediction_has_an_intercept_but_no_slope(self) -> None:
        y = np.arange(40) < 10
        found = calibration(y, np.full(40, 0.5))
        assert found.intercept.value == pytest.approx(np.log(1 / 3))
        assert np.isnan(found.slope).all()
        assert "All predictions are equal" in found.warnings[0]
        assert found.counts.tolist() == [40]

    @pytest.mark.parametrize("better", [False, True])
    def test_predictions_that_separate_have_no_slope(self, better: bool) -> None:
        y = np.arange(40) >= 20
        p = np.linspace(0.1, 0.9, 40)
        found = calibration(y, p if better else p[::-1])
        assert np.isnan(found.slope.value) and "infinite" in found.warnings[0]
        assert np.isfinite(found.intercept).all()

    def test_predictions_of_0_and_1_are_moved_and_counted(self) -> None:
        rng = np.random.default_rng(0)
        y = rng.random(200) < 0.5
        p = np.where(rng.random(200) < 0.8, y, ~y).astype(float)
        found = calibration(y, p)
        assert "200 predictions are 0 or 1" in " ".join(found.warnings)
        assert 0 < found.slope.value < 0.2  # much too sure
        assert np.isfinite([*found.slope, *found.intercept]).all()
        assert found.brier.value == pytest.approx((p != y).mean())

    def test_perfect_certainty_claims_no_interval(self) -> None:
        found = calibration([0, 0, 1, 1], [0, 0, 1, 1])
        assert found.brier.value == 0 and np.isnan(found.brier.low)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=40),
        st.integers(1, 12),
    )
    def test_whatever_the_predictions_the_curve_holds_every_patient(
        self, cases: list[tuple[bool, float]], bins: int
    ) -> None:
        y, p = np.array([c[0] for c in cases]), np.array([c[1] for c in cases])
        assume(y.any() and not y.all())
        found = calibration(y, p, bins)
        assert found.counts.sum() == y.size and len(found.counts) <= bins
        assert (found.expected * found.counts).sum() == pytest.approx(p.sum())
        assert (found.observed * found.counts).sum() == pytest.approx(y.sum())
        assert np.isfinite(found.intercept.value)
        for estimate in (found.intercept, found.slope, found.brier):
            if not np.isnan(estimate.low):
                assert estimate.low <= estimate.value <= estimate.high

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: calibration([0, 1], [0.5, 1.2]), "1 probabilities are not between"),
            (lambda: calibration([0, 1], [0.5, np.nan]), "1 probabilities are missing"),
            (lambda: calibration([0, 1], [0.5, 0.6], bins=0), "at least one bin"),
            (lambda: calibration([1, 1], [0.5, 0.6]), "no case of the negative class"),
        ],
    )
    def test_refusals(self, call: Callable[[], object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            call()
