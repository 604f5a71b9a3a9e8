"""Kappa and the mean area of ordered classes, against other libraries and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from breastpredict.errors import InputError
from breastpredict.stats import bootstrap, macro_auc, quadratic_kappa, roc_auc

TABLE = np.array([[13, 7, 2], [5, 20, 9], [1, 6, 17]])


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Two ratings whose cross table is TABLE."""
    truth, predicted = np.divmod(np.repeat(np.arange(9), TABLE.ravel()), 3)
    return truth, predicted


def three_classes(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    raw = rng.random((n, 3)) + 0.6 * np.eye(3)[y]
    return y, np.round(raw / raw.sum(axis=1, keepdims=True), 2)  # rounded: ties


class TestKappa:
    def test_value_and_variance_are_those_of_statsmodels(self) -> None:
        """cohens_kappa(TABLE, wt="fc") of statsmodels 0.15.0: kappa and its standard error."""
        found = quadratic_kappa(*ratings())
        assert found.value == pytest.approx(0.5786061588330631, abs=1e-12)
        middle = (np.arctanh(found.low) + np.arctanh(found.high)) / 2
        assert middle == pytest.approx(np.arctanh(found.value))
        half = 1.959964 * 0.08336967631735862 / (1 - found.value**2)
        assert np.arctanh(found.high) - middle == pytest.approx(half, rel=1e-6)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
    def test_equals_that_of_scikit_learn_and_is_symmetric(
        self, pairs: list[tuple[int, int]]
    ) -> None:
        a, b = np.array(pairs).T
        assume(len(set(a) | set(b)) > 1)
        ours = quadratic_kappa(a, b, classes=4)
        theirs = cohen_kappa_score(a, b, weights="quadratic", labels=[0, 1, 2, 3])
        assert ours.value == pytest.approx(theirs)
        assert tuple(quadratic_kappa(b, a, 4)) == pytest.approx(tuple(ours), nan_ok=True)
        assert tuple(quadratic_kappa(3 - a, 3 - b, 4)) == pytest.approx(tuple(ours), nan_ok=True)

    @pytest.mark.parametrize("method", ["percentile", "bca"])
    def test_drawing_cells_is_drawing_patients(self, method: str) -> None:
        cells = quadratic_kappa(*ratings(), interval=method, n=4000)  # type: ignore[arg-type]
        patients = bootstrap(
            lambda a, b: cohen_kappa_score(a, b, weights="quadratic"),
            *ratings(),
            n=400,
            method=method,  # type: ignore[arg-type]
        )
        assert tuple(cells) == pytest.approx(tuple(patients), abs=0.04)

    def test_perfect_agreement_claims_no_interval(self) -> None:
        found = quadratic_kappa([0, 1, 2], [0, 1, 2])
        assert found.value == 1 and np.isnan(found.low) and "no interval" in found.warnings[0]

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="not defined"):
            quadratic_kappa([1, 1], [1, 1])
        with pytest.raises(InputError, match="predicted classes must be whole numbers from 0 to 2"):
            quadratic_kappa([0, 1], [0, 3])
        with pytest.raises(InputError, match="2 true classes but 3"):
            quadratic_kappa([0, 1], [0, 1, 2])
        with pytest.raises(InputError, match="no interval named"):
            quadratic_kappa([0, 1], [0, 2], interval="exact")  # type: ignore[arg-type]


class TestMacroAuc:
    def test_value_is_that_of_scikit_learn(self) -> None:
        y, p = three_classes()
        theirs = np.mean([roc_auc_score(y == c, p[:, c]) for c in range(3)])
        for interval in ("logit-delong", "percentile", "bca"):
            found = macro_auc(y, p, interval=interval, n=50)  # type: ignore[arg-type]
            assert found.value == pytest.approx(theirs)
            assert found.low < found.value < found.high

    def test_of_two_classes_with_mirrored_scores_it_is_the_area(self) -> None:
        y, p = three_classes()
        two, score = (y == 2).astype(int), p[:, 0]  # far from 1: DeLong's variance as it is
        ours = macro_auc(two, np.column_stack([-score, score]))
        assert tuple(ours) == pytest.approx(tuple(roc_auc(two, score)))

    @pytest.mark.parametrize("method", ["percentile", "bca"])
    def test_all_resamples_at_once_give_the_limits_of_a_loop(self, method: str) -> None:
        y, p = three_classes(30)

        def loop(y: np.ndarray, p: np.ndarray) -> float:
            if len(set(y)) < 3:
                return np.nan
            return float(np.mean([roc_auc_score(y == c, p[:, c]) for c in range(3)]))

        ours = macro_auc(y, p, interval=method, n=50, seed=2)  # type: ignore[arg-type]
        theirs = bootstrap(loop, y, p, n=50, seed=2, method=method)  # type: ignore[arg-type]
        assert tuple(ours) == pytest.approx(tuple(theirs))

    def test_perfect_separation_does_not_claim_certainty(self) -> None:
        y = np.repeat([0, 1, 2], 6)
        found = macro_auc(y, np.eye(3)[y])
        assert found.value == found.high == 1 and 0.5 < found.low < 0.9
        assert "Only 6 cases of class 0" in found.warnings[0]

    def test_refusals(self) -> None:
        y, p = three_classes()
        with pytest.raises(InputError, match="no case of class 1, 2"):
            macro_auc(np.zeros(90), p)
        with pytest.raises(InputError, match="89 labels but 90 rows"):
            macro_auc(y[1:], p)
        with pytest.raises(InputError, match="not finite"):
            macro_auc(y, np.where(p > 0.5, np.nan, p))
        with pytest.raises(InputError, match="patients by at least two classes"):
            macro_auc(y, p[:, 0])
