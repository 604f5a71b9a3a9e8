"""Clinical variables chosen, and the clinical baseline fitted, inside the training rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from breastpredict.errors import InputError
from breastpredict.learning.baselines import fit_baseline
from breastpredict.learning.selection import (
    fit_selected_baseline,
    out_of_fold_baseline,
    select_variables,
)
from breastpredict.stats import likelihood_ratio, logistic

COLUMNS = ["subtype", "er", "ki67", "regimen", "noise"]
ER = {"er": ("negative", "low", "positive")}


def patients(n: int, seed: int = 0) -> tuple[list[dict[str, str]], np.ndarray[Any, Any]]:
    """Subtype and Ki-67 matter, ER follows the subtype, regimen and noise say nothing."""
    rng = np.random.default_rng(seed)
    subtype = rng.choice(["HR+/HER2-", "HR+/HER2+", "HR-/HER2+", "TN"], n, p=[0.4, 0.2, 0.2, 0.2])
    ki67 = rng.integers(5, 90, n)
    effect = {"HR+/HER2-": -1.5, "HR+/HER2+": 0.0, "HR-/HER2+": 1.5, "TN": 0.5}
    logit = np.array([effect[s] for s in subtype]) + (ki67 - 45) / 15 - 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    rows = [
        {
            "subtype": str(s),
            "er": "positive" if s.startswith("HR+") else str(rng.choice(["negative", "low"])),
            "ki67": str(k),
            "regimen": str(rng.choice(["taxane", "taxane+platinum"])),
            "noise": f"{rng.normal():.3f}",
        }
        for s, k in zip(subtype, ki67, strict=True)
    ]
    return rows, y


class TestLikelihoodRatio:
    def test_of_one_variable_is_the_profile_p_value(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(80, 3)) * [1, 50, 0.01]
        y = (x[:, 0] + rng.normal(size=80) > 0).astype(int)
        for method in ("ml", "firth"):
            rows = logistic(y, x, method=method).rows[1:]
            for column, row in enumerate(rows):
                found = likelihood_ratio(y, x, [column], method=method)
                assert found.p_value == pytest.approx(row.p_value, rel=1e-6, abs=1e-12)

    def test_of_a_category_is_that_of_the_two_deviances(self) -> None:
        rng = np.random.default_rng(1)
        x = np.column_stack([rng.normal(size=90), np.eye(3)[rng.integers(0, 3, 90)][:, 1:]])
        y = (x @ [0.5, 0.8, -0.4] + rng.logistic(size=90) > 0).astype(int)

        def deviance(columns: list[int]) -> float:
            design = np.column_stack([np.ones(90), x[:, columns]])
            loss = lambda b: np.sum(np.logaddexp(0, design @ b) - y * (design @ b))  # noqa: E731
            return 2 * float(minimize(loss, np.zeros(design.shape[1]), tol=1e-10).fun)

        statistic = deviance([0]) - deviance([0, 1, 2])
        found = likelihood_ratio(y, x, [1, 2])
        assert found.statistic == pytest.approx(statistic, abs=1e-5)
        assert found.p_value == pytest.approx(chi2.sf(statistic, 2), abs=1e-6)

    @pytest.mark.parametrize("tested", [[], [3]])
    def test_refuses_to_test_what_is_not_there(self, tested: list[int]) -> None:
        with pytest.raises(InputError, match="must be among 0 to 0"):
            likelihood_ratio([0, 1, 0, 1], [1.0, 2.0, 3.0, 5.0], tested)


class TestSelection:
    def test_keeps_what_matters_beside_the_others(self) -> None:
        rows, y = patients(400)
        found = select_variables(rows, y, COLUMNS, ER)
        assert found.kept == ("subtype", "ki67")
        by_name = {test.name: test for test in found.tests}
        assert by_name["er"].univariate < 0.05 and by_name["er"].multivariable > 0.05  # type: ignore[operator]
        assert by_name["noise"].univariate > 0.05 and by_name["noise"].multivariable is None  # type: ignore[operator]
        assert by_name["er"].handling.startswith("er: negative < low < positive")
        assert found.to_json()["tests"][0]["name"] == "subtype"

    def test_a_variable_of_no_use_passes_about_one_time_in_twenty(self) -> None:
        rng = np.random.default_rng(5)
        passed = 0
        for _ in range(200):
            y = np.arange(60) % 2
            rows = [{"x": f"{v:.5f}"} for v in rng.normal(size=60)]
            passed += bool(select_variables(rows, y, ["x"]).kept)
        assert 3 <= passed <= 20

    def test_of_two_that_say_the_same_one_is_kept(self) -> None:
        rows, y = patients(200)
        doubled = [{**row, "again": str(2 * int(row["ki67"]))} for row in rows]
        found = select_variables(doubled, y, ["ki67", "again"])
        assert found.kept == ("ki67",)

    def test_a_variable_that_separates_the_classes_is_tested_all_the_same(self) -> None:
        rows = [{"x": str(i)} for i in range(20)]
        found = select_variables(rows, [0] * 10 + [1] * 10, ["x"])
        assert found.kept == ("x",)
        assert 0 < found.tests[0].univariate < 1e-3  # type: ignore[operator]

    def test_where_nothing_is_kept_everybody_gets_the_prevalence(self) -> None:
        rng = np.random.default_rng(3)
        rows = [{"x": f"{v:.3f}"} for v in rng.normal(size=60)]
        y = np.arange(60) % 3 == 0
        model, selection = fit_selected_baseline(rows, y, ["x"])
        assert selection.kept == () and model.columns == () and model.threshold is None
        assert model.probability(rows) == pytest.approx(np.full(60, 1 / 3), abs=1e-4)
        assert model.dropped == {"x": "not related to the outcome in training"}

    def test_the_baseline_is_that_of_the_kept_variables(self) -> None:
        rows, y = patients(400)
        model, selection = fit_selected_baseline(rows, y, COLUMNS, ER)
        plain = fit_baseline(rows, y, selection.kept)
        assert np.array_equal(model.probability(rows), plain.probability(rows))

    def test_an_order_makes_words_one_number(self) -> None:
        rows, y = patients(300)
        ranks = {"negative": "0", "low": "1", "positive": "2"}
        ordered = fit_baseline(rows, y, ["er"], ER)
        numbers = fit_baseline([{"er": ranks[row["er"]]} for row in rows], y, ["er"])
        assert ordered.coefficients == numbers.coefficients
        assert len(ordered.coefficients) == 2 < len(fit_baseline(rows, y, ["er"]).coefficients)
        unknown = ordered.probability([{"er": "borderline"}, {"er": ""}])
        assert unknown[0] == unknown[1]


class TestNoLeakage:
    def test_labels_of_a_fold_have_no_part_in_its_own_probabilities(self) -> None:
        rows, y = patients(150, seed=2)
        folds = [i % 3 for i in range(150)]
        honest = out_of_fold_baseline(rows, y, folds, COLUMNS, ER)
        for fold in range(3):
            mine = np.flatnonzero(np.array(folds) == fold)
            other = y.copy()
            other[mine] = np.random.default_rng(fold).permutation(1 - other[mine])
            found = out_of_fold_baseline(rows, other, folds, COLUMNS, ER)
            assert np.array_equal(found.probabilities[mine], honest.probabilities[mine])
            assert found.selections[fold] == honest.selections[fold]
            rest = np.setdiff1d(np.arange(150), mine)
            assert not np.array_equal(found.probabilities[rest], honest.probabilities[rest])

    def test_a_row_of_a_fold_changes_nobody_elses_probability_there(self) -> None:
        rows, y = patients(150, seed=2)
        folds = [i % 3 for i in range(150)]
        changed = [{**rows[0], "ki67": "100000", "er": "odd"}, *rows[1:]]
        one = out_of_fold_baseline(rows, y, folds, COLUMNS, ER).probabilities
        other = out_of_fold_baseline(changed, y, folds, COLUMNS, ER).probabilities
        mates = [i for i in range(1, 150) if folds[i] == folds[0]]
        assert np.array_equal(one[mates], other[mates])

    def test_choosing_on_all_patients_would_look_better_than_it_is(self) -> None:
        """With many useless variables the out-of-fold area stays at chance; chosen on all, not."""
        from breastpredict.stats import roc_auc

        rng = np.random.default_rng(1)
        names = [f"x{i}" for i in range(30)]
        rows = [{name: f"{rng.normal():.4f}" for name in names} for _ in range(120)]
        y = np.arange(120) % 2
        folds = [(i // 2) % 4 for i in range(120)]
        inside = out_of_fold_baseline(rows, y, folds, names, level=0.2)
        leaky = select_variables(rows, y, names, level=0.2).kept
        outside = out_of_fold_baseline(rows, y, folds, leaky, select=False)
        honest, hopeful = (roc_auc(y, found.probabilities).value for found in (inside, outside))
        assert honest < 0.57 and hopeful > honest + 0.1

    def test_refuses_rows_without_a_fold(self) -> None:
        rows, y = patients(30)
        with pytest.raises(InputError, match="30 rows"):
            out_of_fold_baseline(rows, y, [1] * 29, COLUMNS)
