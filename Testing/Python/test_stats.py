"""ROC analysis: against published numbers, against scikit-learn, and at its edges."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from breastpredict.errors import InputError
from breastpredict.stats import (
    binary_metrics,
    bootstrap,
    delong_test,
    roc_auc,
    roc_curve,
    sensitivity_threshold,
    size_warnings,
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

    def test_logit_interval_is_delong_s_on_the_logit_scale(
        self, asah: dict[str, np.ndarray]
    ) -> None:
        for marker in ("wfns", "s100b"):
            area, _, high = roc_auc(asah["poor"], asah[marker], interval="delong")
            half = (high - area) / (area * (1 - area))
            expected = expit(logit(area) + np.array([-half, half]))
            assert roc_auc(asah["poor"], asah[marker])[1:] == pytest.approx(tuple(expected))

    def test_delong_test(self, asah: dict[str, np.ndarray]) -> None:
        result = delong_test(asah["poor"], asah["wfns"], asah["s100b"])
        assert result.statistic == pytest.approx(2.20898359144091, abs=1e-12)
        assert result.p_value == pytest.approx(0.0271757822291882, abs=1e-12)
        assert result.difference == pytest.approx(0.8237 - 0.7314, abs=1e-4)

    def test_youden_threshold(self, asah: dict[str, np.ndarray]) -> None:
        threshold = youden_threshold(asah["poor"], asah["s100b"])
        cut = binary_metrics(asah["poor"], asah["s100b"], threshold)
        assert threshold == pytest.approx(0.205)
        assert cut.specificity.value == pytest.approx(0.8055556, abs=1e-7)
        assert cut.sensitivity.value == pytest.approx(0.6341463, abs=1e-7)


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

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=3, max_size=30))
    def test_of_few_cases_the_interval_is_mirrored_too(self, cases: list[tuple[bool, int]]) -> None:
        y, score = np.array([c[0] for c in cases]), np.array([c[1] for c in cases])
        assume(y.any() and not y.all())
        one = roc_auc(y, score)
        mirrored = pytest.approx((1 - one.value, 1 - one.high, 1 - one.low), abs=1e-9)
        assert tuple(roc_auc(~y, score)) == mirrored
        assert tuple(roc_auc(y, -score)) == mirrored
        assert 0 <= one.low <= one.value <= one.high <= 1
        assert one.high - one.low > 0.1

    def test_a_large_area_of_few_positives_is_covered(self) -> None:
        """Where DeLong's plain variance is too small by chance: it covers 91.6 % here."""
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1], [270, 30])
        distance = np.sqrt(2) * scipy.stats.norm.ppf(0.95)
        estimates = [roc_auc(y, rng.normal(size=300) + distance * y) for _ in range(800)]
        covered = np.mean([e.low <= 0.95 <= e.high for e in estimates])
        assert 0.94 <= covered <= 0.98

    @pytest.mark.parametrize("interval", ["logit-delong", "bootstrap"])
    def test_perfect_separation_does_not_claim_certainty(self, interval: str) -> None:
        few = roc_auc([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], interval)  # type: ignore[arg-type]
        many = roc_auc([0] * 50 + [1] * 50, range(100), interval)  # type: ignore[arg-type]
        assert few.value == few.high == 1
        assert 0.4 < few.low < many.low < 1

    def test_constant_scores_have_half_the_area_and_a_warning(self) -> None:
        estimate = roc_auc([0] * 20 + [1] * 20, [3.0] * 40)
        assert estimate.value == 0.5
        assert estimate.low < 0.4 and estimate.high > 0.6
        assert "equal" in estimate.warnings[0]

    def test_few_cases_are_said_and_do_not_change_the_tuple(self) -> None:
        few = roc_auc([0] * 30 + [1] * 4, range(34))
        assert few.warnings == size_warnings(4, 30)
        assert "4 positive" in few.warnings[0]
        assert roc_auc([0] * 300 + [1] * 300, np.arange(600) % 7).warnings == ()
        assert few == tuple(few) and len(few) == 3

    @pytest.mark.parametrize("interval", ["delong", "bootstrap"])
    def test_an_interval_that_is_too_narrow_here_says_so(
        self, interval: str, asah: dict[str, np.ndarray]
    ) -> None:
        few = roc_auc([0, 0, 1, 0, 1, 1], [1, 2, 3, 4, 5, 6], interval)  # type: ignore[arg-type]
        assert "too narrow" in few.warnings[0]
        enough = roc_auc(asah["poor"], asah["wfns"], interval)  # type: ignore[arg-type]
        assert enough.warnings == ()

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
        fast = bootstrap(roc_auc, y, score, n=60, seed=3)
        general = bootstrap(lambda y, s: roc_auc_score(y, s), y, score, n=60, seed=3)
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

    def test_bca_limits_are_those_of_scipy(self) -> None:
        """Skewed data, where they differ most from percentile limits; 20000 resamples each."""
        x = np.random.default_rng(4).exponential(size=40)
        ours = bootstrap(np.mean, x, n=20000, method="bca")
        theirs = scipy.stats.bootstrap((x,), np.mean, n_resamples=20000, rng=1).confidence_interval
        plain = bootstrap(np.mean, x, n=20000)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.015)
        assert ours.high > plain.high + 0.03

    def test_bca_of_the_area_is_the_same_by_the_fast_path(self) -> None:
        y, score = normal_scores(60)
        fast = bootstrap(roc_auc, y, score, n=40, seed=3, method="bca")
        general = bootstrap(lambda y, s: roc_auc_score(y, s), y, score, n=40, seed=3, method="bca")
        assert tuple(fast) == pytest.approx(tuple(general), abs=1e-12)

    @pytest.mark.parametrize("method", ["percentile", "bca"])
    def test_a_vectorised_statistic_gives_the_same_limits(self, method: str) -> None:
        x = np.random.default_rng(0).normal(size=(30, 2))
        one = bootstrap(lambda x: x.prod(axis=1).mean(), x, n=100, method=method)
        all_at_once = bootstrap(
            lambda x: x.prod(axis=-1).mean(axis=-1), x, n=100, method=method, vectorised=True
        )
        assert tuple(all_at_once) == pytest.approx(tuple(one))

    @pytest.mark.parametrize("method", ["percentile", "bca"])
    @pytest.mark.parametrize("vectorised", [False, True])
    def test_rows_of_a_patient_are_drawn_together(self, method: str, vectorised: bool) -> None:
        """Ten copies of each patient bring no information: the limits stay those of patients."""
        x = np.random.default_rng(0).normal(size=50)
        mean = (lambda x: x.mean(axis=-1)) if vectorised else np.mean
        patients = bootstrap(np.mean, x, n=300, method=method)
        copies = bootstrap(
            mean,
            np.repeat(x, 10),
            n=300,
            method=method,
            vectorised=vectorised,
            groups=np.repeat([f"p{i:02}" for i in range(50)], 10),
        )
        assert tuple(copies) == pytest.approx(tuple(patients))

    @pytest.mark.parametrize("method", ["percentile", "bca"])
    def test_the_area_of_patients_with_several_rows(self, method: str) -> None:
        """Patients with 1 to 4 rows: the counting path against the general one."""
        y, score = normal_scores(20)
        times = np.arange(20) % 4 + 1
        rows = [np.repeat(v, times) for v in (y, score, np.arange(20)[::-1])]
        noisy = rows[1] + np.random.default_rng(1).normal(size=rows[1].size)
        fast = bootstrap(roc_auc, rows[0], noisy, n=40, method=method, groups=rows[2])
        general = bootstrap(
            lambda y, s: roc_auc_score(y, s),
            rows[0],
            noisy,
            n=40,
            method=method,
            groups=rows[2],
        )
        assert tuple(fast) == pytest.approx(tuple(general), abs=1e-12)

    def test_a_vectorised_statistic_of_patients_with_unequal_rows(self) -> None:
        x, patient = np.array([1.0, 2, 3, 4, 5, 6]), [0, 0, 0, 1, 1, 2]
        at_once = bootstrap(lambda x: x.mean(axis=-1), x, n=80, vectorised=True, groups=patient)
        assert at_once == bootstrap(np.mean, x, n=80, groups=patient)

    def test_resamples_that_never_change_are_said_not_to_be_an_interval(self) -> None:
        estimate = bootstrap(roc_auc, [0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], n=50)
        assert "no interval" in " ".join(estimate.warnings)

    def test_resamples_of_one_class_are_drawn_again(self) -> None:
        estimate = bootstrap(roc_auc, [0, 0, 0, 0, 1], [1, 2, 3, 4, 3.5], n=500)
        assert np.isfinite(estimate).all()


class TestThresholds:
    def test_of_equal_maxima_the_most_sensitive_is_taken(self) -> None:
        # J = 1/2 when cutting between 1 and 2 and again between 3 and 4.
        y, score = [0, 1, 0, 1], [1, 2, 3, 4]
        assert youden_threshold(y, score) == 1.5

    def test_the_case_on_the_threshold_is_positive(self) -> None:
        lower = 0.5
        upper = np.nextafter(lower, 1)  # no number fits between them
        threshold = youden_threshold([0, 1], [lower, upper])
        assert binary_metrics([0, 1], [lower, upper], threshold).accuracy.value == 1

    def test_a_wanted_sensitivity_is_reached_on_asah(self, asah: dict[str, np.ndarray]) -> None:
        """0.95 of 41 poor outcomes is 38.95: 39 must be called."""
        threshold = sensitivity_threshold(asah["poor"], asah["s100b"], 0.95)
        assert (asah["s100b"][asah["poor"]] >= threshold).sum() >= 39
        assert (asah["s100b"][asah["poor"]] > threshold).sum() < 39

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.integers(-4, 4), min_size=1, max_size=30),
        st.floats(0.01, 1.0),
    )
    def test_no_larger_threshold_reaches_the_sensitivity(
        self, positives: list[int], wanted: float
    ) -> None:
        y, score = [0] + [1] * len(positives), np.array([0, *positives], dtype=float)
        threshold = sensitivity_threshold(y, score, wanted)
        reached = (score[1:] >= threshold).mean()
        beyond = (score[1:] > threshold).mean()
        assert beyond < wanted <= reached + 1e-9

    def test_a_share_that_is_a_whole_number_of_cases_is_not_rounded_up(self) -> None:
        y, score = [0] + [1] * 100, [0.0, *range(100)]
        assert sensitivity_threshold(y, score, 0.07) == 93  # 0.07 * 100 is 7.000000000000001


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "no case of the negative class"),
        ([0, 0, 0], [1, 2, 3], "no case of the positive class"),
        ([0, 1, 1], [1, 2], "3 labels but scores of shape"),
        ([0, 1, 2], [1, 2, 3], "must be 0 or 1"),
        (["no", "yes"], [1, 2], "must be 0 or 1"),
        ([0, 1, 1], [1, np.nan, 3], "1 scores are missing"),
        ([0, 1, 1], [1, "high", 3], "not numbers"),
        ([0, np.nan, 1], [1, 2, 3], "must be 0 or 1"),
        ([[0], [1, 1]], [1, 2], "one-dimensional"),
        ([1], [1], "no case of the negative class"),
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
    with pytest.raises(InputError, match="left out"):
        bootstrap(roc_auc, [0, 0, 0, 1], [1, 2, 3, 4], method="bca")
    with pytest.raises(InputError, match="no bootstrap method"):
        bootstrap(np.mean, [1, 2], method="normal")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 rows but groups of shape"):
        bootstrap(np.mean, [1, 2], groups=["a"])
    with pytest.raises(InputError, match="not defined on these cases"):
        bootstrap(lambda x: np.nan, [1, 2])
    for share in (0.0, 1.1, np.nan):
        with pytest.raises(InputError, match="sensitivity"):
            sensitivity_threshold([0, 1], [1, 2], share)
