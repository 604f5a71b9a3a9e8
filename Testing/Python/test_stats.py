"""ROC analysis: against published numbers, against scikit-learn, and at its edges."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from breastpredict.errors import InputError
from breastpredict.stats import (
    binary_metrics,
    bootstrap,
    delong_test,
    roc_auc,
    roc_curve,
    youden_threshold,
)


@pytest.fixture(scope="module")
def asah(shared: Path) -> dict[str, np.ndarray]:
    """The subarachnoid haemorrhage data that pROC is documented with."""
    with open(shared / "data" / "stats" / "aSAH.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "poor": np.array([row["outcome"] == "Poor" for row in rows]),
        "wfns": np.array([float(row["wfns"]) for row in rows]),
        "s100b": np.array([float(row["s100b"]) for row in rows]),
    }


def normal_scores(n: int = 120, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    return y, np.round(rng.normal(size=n) + y, 1)  # rounded: ties on purpose


class TestPublishedNumbers:
    def test_area(self, asah: dict[str, np.ndarray]) -> None:
        assert roc_auc(asah["poor"], asah["wfns"]).value == pytest.approx(0.8237, abs=5e-5)
        assert roc_auc(asah["poor"], asah["s100b"]).value == pytest.approx(0.7314, abs=5e-5)

    def test_delong_interval_is_that_of_proc(self, asah: dict[str, np.ndarray]) -> None:
        estimate = roc_auc(asah["poor"], asah["s100b"], interval="delong")
        assert estimate.low == pytest.approx(0.6301, abs=5e-5)
        assert estimate.high == pytest.approx(0.8326, abs=5e-5)

    def test_delong_test(self, asah: dict[str, np.ndarray]) -> None:
        result = delong_test(asah["poor"], asah["wfns"], asah["s100b"])
        assert result.statistic == pytest.approx(2.20898359144091, abs=1e-12)
        assert result.p_value == pytest.approx(0.0271757822291882, abs=1e-12)
        assert result.difference == pytest.approx(0.8237 - 0.7314, abs=1e-4)

    def test_youden_threshold(self, asah: dict[str, np.ndarray]) -> None:
        threshold = youden_threshold(asah["poor"], asah["s100b"])
        cut = binary_metrics(asah["poor"], asah["s100b"], threshold)
        assert threshold == pytest.approx(0.205)
        assert cut.specificity == pytest.approx(0.8055556, abs=1e-7)
        assert cut.sensitivity == pytest.approx(0.6341463, abs=1e-7)


class TestArea:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
    def test_equals_the_share_of_pairs_won(self, cases: list[tuple[bool, int]]) -> None:
        y = np.array([label for label, _ in cases])
        score = np.array([value for _, value in cases])
        if y.all() or not y.any():
            return
        won = np.sign(score[y][:, None] - score[~y][None]) / 2 + 0.5
        assert roc_auc(y, score).value == pytest.approx(won.mean())

    @pytest.mark.parametrize("interval", ["logit-delong", "delong", "bootstrap"])
    def test_lies_in_its_interval_and_the_interval_in_0_to_1(self, interval: str) -> None:
        estimate = roc_auc(*normal_scores(), interval=interval)  # type: ignore[arg-type]
        assert 0 <= estimate.low < estimate.value < estimate.high <= 1

    def test_a_monotone_change_of_scale_changes_nothing(self) -> None:
        y, score = normal_scores()
        assert roc_auc(y, np.exp(score)) == pytest.approx(roc_auc(y, score))

    def test_exchanging_the_classes_mirrors_area_and_interval(self) -> None:
        y, score = normal_scores()
        one, other = roc_auc(y, score), roc_auc(~y, score)
        assert tuple(other) == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low))

    def test_perfect_separation_does_not_claim_certainty(self) -> None:
        few = roc_auc([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6])
        many = roc_auc([0] * 50 + [1] * 50, range(100))
        assert few.value == few.high == 1
        assert 0.4 < few.low < many.low < 1

    def test_curve_runs_from_corner_to_corner_and_encloses_the_area(self) -> None:
        y, score = normal_scores()
        curve = roc_curve(y, score)
        x, t = curve.false_positive_rate, curve.true_positive_rate
        assert (x[0], t[0], x[-1], t[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(t, x) == pytest.approx(roc_auc(y, score).value)

    def test_logit_interval_covers_the_true_area(self) -> None:
        """Coverage of the 95 % interval for two normal classes; true area Φ(1/√2) = 0.7602."""
        rng = np.random.default_rng(5)
        y = np.repeat([0, 1], 30)
        covered = 0
        for _ in range(400):
            estimate = roc_auc(y, rng.normal(size=60) + y)
            covered += estimate.low <= 0.7602 <= estimate.high
        assert 0.92 <= covered / 400 <= 0.98


class TestDeLongTest:
    def test_is_antisymmetric(self) -> None:
        y, a = normal_scores()
        b = a + np.random.default_rng(2).normal(size=a.size)
        forward, backward = delong_test(y, a, b), delong_test(y, b, a)
        assert forward.statistic == pytest.approx(-backward.statistic)
        assert forward.p_value == pytest.approx(backward.p_value)

    def test_scores_of_the_same_order_do_not_differ(self) -> None:
        y, a = normal_scores()
        assert delong_test(y, a, 2 * a + 1) == (0.0, 1.0, 0.0)


class TestBootstrap:
    def test_the_fast_path_of_the_area_draws_the_same_resamples_as_the_general_one(self) -> None:
        y, score = normal_scores(60)
        fast = bootstrap(roc_auc, y, score, n=200, seed=3)
        general = bootstrap(lambda y, s: roc_auc_score(y, s), y, score, n=200, seed=3)
        assert tuple(fast) == pytest.approx(tuple(general), abs=1e-12)

    def test_the_seed_decides(self) -> None:
        y, score = normal_scores()
        assert bootstrap(roc_auc, y, score, seed=1) == bootstrap(roc_auc, y, score, seed=1)
        assert bootstrap(roc_auc, y, score, seed=1) != bootstrap(roc_auc, y, score, seed=2)

    def test_the_mean_gets_its_textbook_interval(self) -> None:
        x = np.random.default_rng(0).normal(size=400)
        estimate = bootstrap(np.mean, x, n=2000)
        half = 1.96 * x.std() / 20
        assert estimate.value == x.mean()
        assert (estimate.low, estimate.high) == pytest.approx(
            (x.mean() - half, x.mean() + half), abs=0.1 * half
        )

    def test_resamples_of_one_class_are_drawn_again(self) -> None:
        estimate = bootstrap(roc_auc, [0, 0, 0, 0, 1], [1, 2, 3, 4, 3.5], n=500)
        assert np.isfinite(estimate).all()


class TestYoudenThreshold:
    def test_of_equal_maxima_the_most_sensitive_is_taken(self) -> None:
        # J = 1/2 when cutting between 1 and 2 and again between 3 and 4.
        y, score = [0, 1, 0, 1], [1, 2, 3, 4]
        assert youden_threshold(y, score) == 1.5

    def test_the_case_on_the_threshold_is_positive(self) -> None:
        lower = 0.5
        upper = np.nextafter(lower, 1)  # no number fits between them
        threshold = youden_threshold([0, 1], [lower, upper])
        assert binary_metrics([0, 1], [lower, upper], threshold).accuracy == 1

    def test_counts_and_proportions(self) -> None:
        cut = binary_metrics([1, 1, 1, 0, 0], [0.9, 0.8, 0.1, 0.7, 0.2], 0.5)
        assert cut[:4] == (2, 1, 1, 1)
        assert cut.accuracy == pytest.approx(3 / 5)
        assert cut.ppv == cut.sensitivity == cut.f1 == pytest.approx(2 / 3)
        assert np.isnan(binary_metrics([1, 0], [0.1, 0.2], 0.5).ppv)


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "no case of the negative class"),
        ([0, 0, 0], [1, 2, 3], "no case of the positive class"),
        ([0, 1, 1], [1, 2], "3 labels but scores of shape"),
        ([0, 1, 2], [1, 2, 3], "must be 0 or 1"),
        (["no", "yes"], [1, 2], "must be 0 or 1"),
        ([0, 1, 1], [1, np.nan, 3], "1 scores are missing"),
        ([], [], "non-empty"),
    ],
)
def test_unusable_input_is_refused_in_one_line(y: list, score: list, message: str) -> None:
    for function in (roc_auc, youden_threshold, roc_curve):
        with pytest.raises(InputError, match=message) as caught:
            function(y, score)
        assert "\n" not in str(caught.value)


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(InputError, match="All scores are equal"):
        youden_threshold([0, 1], [1, 1])
    with pytest.raises(InputError, match="two cases of each class"):
        roc_auc([0, 0, 1], [1, 2, 3], interval="delong")
    with pytest.raises(InputError, match="two cases of each class"):
        delong_test([0, 0, 1], [1, 2, 3], [3, 2, 1])
    with pytest.raises(InputError, match="no interval named"):
        roc_auc([0, 1], [1, 2], interval="exact")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one length"):
        bootstrap(np.mean)
