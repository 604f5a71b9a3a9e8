"""Proportions of a cut score, decision curves, subgroups: against other libraries, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score

from breastpredict.errors import InputError
from breastpredict.stats import (
    binary_metrics,
    decision_curve,
    fisher_odds_ratio,
    rank_sum_test,
    roc_auc,
    size_warnings,
    subgroup_table,
    welch_test,
    wilson,
)


def cases(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    return y, rng.normal(size=n) + y


class TestWilson:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
    def test_limits_are_those_of_scipy(self, n: int, data: st.DataObject, level: float) -> None:
        k = data.draw(st.integers(0, n))
        theirs = binomtest(k, n).proportion_ci(level, method="wilson")
        ours = wilson(k, n, level)
        assert tuple(ours) == pytest.approx((k / n, theirs.low, theirs.high), abs=1e-12)
        assert ours.low <= ours.value <= ours.high

    def test_published_example(self) -> None:
        """81 of 263 and 0 of 20 from Newcombe, Stat Med 1998;17:857, table I, method 3."""
        assert wilson(81, 263)[1:] == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert wilson(0, 20)[1:] == pytest.approx((0, 0.1611), abs=5e-5)
        assert wilson(1, 29)[1:] == pytest.approx((0.0061, 0.1718), abs=5e-5)

    def test_of_nobody_there_is_no_number_but_a_reason(self) -> None:
        estimate = wilson(0, 0)
        assert np.isnan(estimate).all() and estimate.warnings == ("There is no case to count",)

    @pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2), (0.5, 2), (np.nan, 2)])
    def test_impossible_counts_are_refused(self, k: float, n: int) -> None:
        with pytest.raises(InputError, match="not a proportion"):
            wilson(k, n)  # type: ignore[arg-type]


class TestBinaryMetrics:
    def test_counts_and_proportions(self) -> None:
        cut = binary_metrics([1, 1, 1, 0, 0], [0.9, 0.8, 0.1, 0.7, 0.2], 0.5)
        assert (cut.tp, cut.fp, cut.tn, cut.fn, cut.n) == (2, 1, 1, 1, 5)
        assert cut.accuracy == wilson(3, 5)
        assert cut.sensitivity == cut.ppv == wilson(2, 3)
        assert cut.specificity == cut.npv == wilson(1, 2)
        assert cut.prevalence == wilson(3, 5)
        assert cut.f1.value == pytest.approx(2 / 3)

    def test_agrees_with_scikit_learn(self) -> None:
        y, score = cases()
        cut = binary_metrics(y, score, 0.5)
        tn, fp, fn, tp = confusion_matrix(y, score >= 0.5).ravel()
        assert (cut.tp, cut.fp, cut.tn, cut.fn) == (tp, fp, tn, fn)
        assert cut.f1.value == pytest.approx(f1_score(y, score >= 0.5))

    def test_what_was_never_called_has_no_predictive_value_and_says_why(self) -> None:
        nobody = binary_metrics([1, 0], [0.1, 0.2], 0.5)
        assert np.isnan(nobody.ppv.value) and nobody.ppv.warnings == (
            "No case was called positive",
        )
        everybody = binary_metrics([1, 0], [0.1, 0.2], -np.inf)
        assert np.isnan(everybody.npv).all() and "negative" in everybody.npv.warnings[0]
        assert everybody.ppv.value == 0.5

    def test_exchanging_the_classes_exchanges_the_measures(self) -> None:
        y, score = cases()
        one, other = binary_metrics(y, score, 0.5), binary_metrics(~y, -score, -0.5 + 1e-12)
        assert (one.sensitivity, one.ppv) == (other.specificity, other.npv)
        assert one.accuracy == other.accuracy

    def test_f1_intervals_in_closed_form_and_by_the_bootstrap_agree(self) -> None:
        y, score = cases(2000)
        closed = binary_metrics(y, score, 0.5).f1
        width = closed.high - closed.low
        for method in ("percentile", "bca"):
            drawn = binary_metrics(y, score, 0.5, f1_interval=method, n=4000).f1  # type: ignore[arg-type]
            assert tuple(drawn) == pytest.approx(tuple(closed), abs=0.05 * width)

    def test_f1_at_its_ends_keeps_an_interval(self) -> None:
        perfect = binary_metrics([0, 0, 1, 1], [1, 2, 3, 4], 2.5).f1
        hopeless = binary_metrics([1, 1, 0, 0], [1, 2, 3, 4], 2.5).f1
        assert 0 < perfect.low < perfect.value == perfect.high == 1
        assert 0 == hopeless.low == hopeless.value < hopeless.high < 1

    def test_few_cases_are_said(self) -> None:
        assert binary_metrics([1, 0], [2, 1], 1.5).warnings == size_warnings(1, 1)

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="threshold is not a number"):
            binary_metrics([0, 1], [1, 2], np.nan)
        with pytest.raises(InputError, match="no interval named"):
            binary_metrics([0, 1], [1, 2], 1, f1_interval="exact")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="no case of the positive class"):
            binary_metrics([0, 0], [1, 2], 1)


class TestDecisionCurve:
    def test_net_benefit_by_hand(self) -> None:
        """At 0.25: 2 true and 1 false positives of 5, harm 1/3: 2/5 - 1/5/3."""
        curve = decision_curve([1, 1, 1, 0, 0], [0.9, 0.3, 0.1, 0.7, 0.2], [0.0, 0.25])
        assert curve.model == pytest.approx([3 / 5, 2 / 5 - 1 / 15])
        assert curve.all == pytest.approx([3 / 5, 3 / 5 - 2 / 15])
        assert (curve.none == 0).all()

    def test_a_prediction_at_the_threshold_is_treated(self) -> None:
        assert decision_curve([0, 1], [0.1, 0.5], [0.5]).model == pytest.approx([0.5])

    def test_treating_all_has_no_benefit_at_the_prevalence(self) -> None:
        y, score = cases()
        curve = decision_curve(y, 1 / (1 + np.exp(-score)), [y.mean()])
        assert curve.all == pytest.approx([0], abs=1e-12)

    def test_at_every_threshold_it_is_what_the_confusion_matrix_gives(self) -> None:
        y, score = cases()
        p = 1 / (1 + np.exp(-score))
        curve = decision_curve(y, p)
        assert (curve.threshold[0], curve.threshold[-1], len(curve.threshold)) == (0.01, 0.99, 99)
        for t, benefit in zip(curve.threshold, curve.model, strict=True):
            (_, fp), (_, tp) = confusion_matrix(y, p >= t)
            assert benefit == pytest.approx((tp - fp * t / (1 - t)) / 200)

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="1 probabilities are not between 0 and 1"):
            decision_curve([0, 1], [0.5, 1.5])
        for bad in ([1.0], [-0.1], [], [np.nan]):
            with pytest.raises(InputError, match="Threshold probabilities"):
                decision_curve([0, 1], [0.5, 0.6], bad)


class TestSubgroups:
    def test_each_row_is_the_analysis_of_its_members(self) -> None:
        y, score = cases()
        site = np.array(["B", "A"])[np.arange(200) % 2]
        rows = subgroup_table(site, y, score, 0.5)
        assert [row.group for row in rows] == ["A", "B"]
        for row in rows:
            own = site == row.group
            assert (row.n, row.events) == (100, y[own].sum())
            assert row.auc == roc_auc(y[own], score[own])
            assert row.metrics == binary_metrics(y[own], score[own], 0.5)
            assert row.warnings == ()

    def test_a_group_with_one_class_is_a_row_with_its_reason(self) -> None:
        rows = subgroup_table(["a", "a", "b", "b"], [0, 1, 1, 1], [1, 2, 3, 4], 2.5)
        assert (rows[1].n, rows[1].events, rows[1].metrics) == (2, 2, None)
        assert np.isnan(rows[1].auc.value)
        assert rows[1].warnings == ("There is no case of the negative class",)
        assert "1 positive" in rows[0].warnings[0]

    def test_patients_without_a_group_are_not_lost(self) -> None:
        y, score = cases(6)
        rows = subgroup_table(["a", None, "", float("nan"), "a", "a"], y, score, 0.5)
        assert {row.group: row.n for row in rows} == {"a": 3, "missing": 3}

    def test_unequal_lengths_are_refused(self) -> None:
        with pytest.raises(InputError, match="2 labels but 1 subgroup"):
            subgroup_table(["a"], [0, 1], [1, 2], 1.5)


class TestTwoGroups:
    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="at least 2 values"):
            welch_test([1], [1, 2])
        with pytest.raises(InputError, match="missing"):
            rank_sum_test([1, np.nan], [1])
        with pytest.raises(InputError, match="Neither group varies"):
            welch_test([1, 1], [2, 2])
        with pytest.raises(InputError, match="All values are equal"):
            rank_sum_test([1, 1], [1])

    def test_an_empty_cell_has_a_ratio_without_interval(self) -> None:
        found = fisher_odds_ratio([[5, 0], [3, 4]])
        assert found.odds_ratio.value == np.inf and np.isnan(found.odds_ratio.low)
        assert found.odds_ratio.warnings == ("A cell is empty: no interval",)
        assert fisher_odds_ratio([[0, 5], [3, 4]]).odds_ratio.value == 0
        for bad in ([[1, 2]], [[1, -2], [3, 4]], [[0, 0], [1, 2]], [[0.5, 1], [1, 2]]):
            with pytest.raises(InputError):
                fisher_odds_ratio(bad)
