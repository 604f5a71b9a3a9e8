"""The numbers of a task are right, and are of patients that nothing was fitted on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.preprocessing import StandardScaler

from breastpredict.errors import InputError
from breastpredict.learning.baselines import fit_baseline
from breastpredict.learning.evaluation import (
    MODEL,
    Cases,
    Marker,
    Threshold,
    evaluate_task,
)
from breastpredict.learning.examples import BinaryTask
from breastpredict.learning.ordered import evaluate_ordered

TASK = BinaryTask("task", "yes", "no")


def some_cases(n: int = 120, seed: int = 1, training: int = 40) -> tuple[Cases, np.ndarray]:
    """Two cohorts; the first ``training`` cases were seen by the model."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0.001, 0.999).round(2)  # with ties
    cases = Cases(
        TASK,
        "A task",
        tuple(f"P{i}" for i in range(n)),
        tuple("A" if i < 80 else "B" for i in range(n)),
        labels,
        np.arange(n) < training,
    )
    return cases, scores


def model(scores: np.ndarray, **given: Any) -> Marker:
    fields = {"threshold": Threshold(0.5, "given"), "probability": True, **given}
    return Marker(MODEL, scores, **fields)


# --- Numbers ---


def test_the_numbers_are_those_of_scikit_learn() -> None:
    cases, scores = some_cases()
    (a, b) = evaluate_task(cases, [model(scores)]).cohorts
    assert (a.cohort, b.cohort) == ("A", "B")
    for result, part in ((a, slice(40, 80)), (b, slice(80, 120))):
        y, s = cases.labels[part], scores[part]
        found = result.markers[0]
        assert (result.n, result.positives) == (40, int(y.sum()))
        assert found.auc is not None and found.metrics is not None and found.roc is not None
        assert found.auc.value == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert found.auc.low < found.auc.value < found.auc.high
        said = s >= 0.5
        expected = {
            "accuracy": accuracy_score(y, said),
            "sensitivity": recall_score(y, said),
            "specificity": recall_score(~y, ~said),
            "ppv": precision_score(y, said),
            "npv": precision_score(~y, ~said),
            "f1": f1_score(y, said),
        }
        for name, value in expected.items():
            estimate = getattr(found.metrics, name)
            assert estimate.value == pytest.approx(value, abs=1e-12)
            assert estimate.low <= estimate.value <= estimate.high
        false, true, cuts = roc_curve(y, s, drop_intermediate=False)
        np.testing.assert_allclose(found.roc, (false, true, cuts))
        assert found.calibration is not None and found.decision is not None
        assert found.calibration.brier.value == pytest.approx(brier_score_loss(y, s), abs=1e-12)
        assert found.calibration.counts.sum() == 40 and len(found.calibration.counts) <= 4
        at_half = found.decision.threshold == 0.5
        net = (found.metrics.tp - found.metrics.fp) / 40
        assert found.decision.model[at_half] == pytest.approx(net, abs=1e-12)


def test_the_ordered_view_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 150)
    p = rng.dirichlet([1, 1, 1], 150) + np.eye(3)[truth] * 0.4
    p /= p.sum(axis=1, keepdims=True)
    said = p.argmax(axis=1)
    found = evaluate_ordered("A", ("zero", "low", "positive"), truth, said, p)
    kappa = cohen_kappa_score(truth, said, weights="quadratic")
    area = roc_auc_score(truth, p, multi_class="ovr", average="macro")
    assert found.kappa.value == pytest.approx(kappa, abs=1e-12)
    assert found.macro_auc.value == pytest.approx(area, abs=1e-12)
    assert found.accuracy.value == pytest.approx((truth == said).mean())
    for value in (found.kappa, found.macro_auc, found.accuracy):
        assert value.low < value.value < value.high
    assert found.n == found.confusion.sum() == 150
    assert found.confusion[2, 0] == ((truth == 2) & (said == 0)).sum()


def test_a_number_that_the_cases_do_not_define_is_missing_with_the_reason() -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.1, 0.6, 0.3], [0.3, 0.5, 0.2]])
    found = evaluate_ordered("A", ("zero", "low", "positive"), [0, 1, 0, 1], [1, 1, 1, 1], p)
    assert np.isnan(found.macro_auc.value)
    assert found.macro_auc.warnings == ("There is no case of class positive",)
    assert found.kappa.value == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.kappa.low) and "same class" in found.kappa.warnings[0]


def test_the_band_holds_the_curve_and_narrows_with_more_cases() -> None:
    widths = []
    for n in (100, 1600):
        cases, scores = some_cases(n, training=0)
        found = evaluate_task(replace(cases, cohorts=("A",) * n), [model(scores)]).cohorts[0]
        band, roc = found.markers[0].band, found.markers[0].roc
        assert band is not None and roc is not None
        # Inside the plot; at the ends the empirical curve is a single step.
        here = (band.false_positive_rate > 0.05) & (band.false_positive_rate < 0.6)
        curve = np.interp(band.false_positive_rate, roc[0], roc[1])
        assert (band.low - 1e-9 <= curve)[here].mean() > 0.95
        assert (curve <= band.high + 1e-9)[here].mean() > 0.95
        widths.append(float((band.high - band.low)[here].mean()))
    assert widths[1] < 0.5 * widths[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.5, 0.9, float("nan")]), st.booleans(),
                  st.sampled_from("AB")),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_however_few_the_cases_everybody_is_counted_once_and_nothing_is_made_up(
    rows: list[tuple[bool, float, bool, str]],
) -> None:
    labels, scores, training, cohorts = (list(column) for column in zip(*rows, strict=True))
    cases = Cases(
        TASK,
        "A task",
        tuple(map(str, range(len(rows)))),
        tuple(cohorts),
        np.array(labels),
        np.array(training),
    )
    found = evaluate_task(cases, [model(np.array(scores))])
    assert sum(c.n for c in found.cohorts) == training.count(False)
    assert sum(c.n for c in found.training) == training.count(True)
    for cohort in (*found.cohorts, *found.training):
        result = cohort.markers[0]
        if 0 < result.positives < result.n:
            assert result.auc is not None and 0 <= result.auc.low <= result.auc.high <= 1
        else:
            assert result.auc is None and result.metrics is None and "no number" in result.note
        assert cohort.warnings  # so few cases always carry one


def test_a_baseline_is_tested_against_the_model_on_patients_who_have_both() -> None:
    cases, scores = some_cases()
    rival = scores.copy()
    rival[85:90] = np.nan
    result = evaluate_task(cases, [model(scores), Marker("Rival", rival, None)]).cohorts[1]
    found = result.markers[1]
    assert found.n == 35 and "no score for 5 of 40 cases" in found.note
    assert found.metrics is None  # it has no threshold of its own, and gets none
    assert found.against_model is not None
    assert (found.against_model.difference, found.against_model.p_value) == (0.0, 1.0)


# --- Leakage through the public interface ---


def test_a_marker_fitted_on_a_patient_it_is_judged_on_is_refused() -> None:
    cases, scores = some_cases()
    evaluate_task(cases, [model(scores, fitted_on=frozenset(cases.patients[:40]))])
    with pytest.raises(InputError, match="fitted on 1 of the patients"):
        evaluate_task(cases, [model(scores, fitted_on=frozenset(cases.patients[:41]))])
    leaky = Marker("Rival", scores, None, frozenset({"P100"}))
    with pytest.raises(InputError, match="Rival was fitted on 1"):
        evaluate_task(cases, [model(scores), leaky])


def test_a_threshold_chosen_on_test_patients_cannot_come_in() -> None:
    cases, scores = some_cases()
    seen = Threshold(0.5, "Youden", frozenset(cases.patients[:40]))
    evaluate_task(cases, [model(scores, threshold=seen)])
    for marker in (MODEL, "Rival"):
        leaky = Threshold(0.5, "Youden", frozenset(cases.patients[38:42]))
        markers = [model(scores, threshold=leaky if marker == MODEL else seen)]
        if marker != MODEL:
            markers.append(Marker(marker, scores, leaky))
        with pytest.raises(InputError, match=f"threshold of {marker} was chosen on 2"):
            evaluate_task(cases, markers)


def test_training_patients_never_change_the_headline() -> None:
    cases, scores = some_cases()
    before = evaluate_task(cases, [model(scores)])
    changed = scores.copy()
    changed[:40] = cases.labels[:40]  # as good as it gets
    after = evaluate_task(cases, [model(changed)])
    for old, new in zip(before.cohorts, after.cohorts, strict=True):
        assert old.markers[0].auc == new.markers[0].auc
        assert old.markers[0].metrics == new.markers[0].metrics
    assert [c.n for c in after.training] == [40]
    assert after.training[0].markers[0].auc != before.training[0].markers[0].auc


# --- Baselines ---


def clinical_rows(n: int, seed: int) -> tuple[list[dict[str, str]], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    rows = [
        {
            "age": "NA" if rng.random() < 0.1 else str(int(rng.normal(50 + 8 * y, 10))),
            "er": str(rng.choice(["+", "-"], p=(0.8, 0.2) if y else (0.4, 0.6))),
            "histology": str(rng.choice(["IDC", "ILC", "other"], p=(0.7, 0.25, 0.05))),
            "constant": "7",
        }
        for y in labels
    ]
    return rows, labels


def test_the_clinical_baseline_is_scikit_learns_ridge_on_the_same_columns() -> None:
    rows, labels = clinical_rows(200, 3)
    fitted = fit_baseline(rows, labels, ["age", "er", "histology", "constant"])
    assert fitted.columns == ("age", "er", "histology")
    assert fitted.dropped == {"constant": "the same for every training patient"}
    known = [float(row["age"]) for row in rows if row["age"] != "NA"]

    def numbers(rows: list[dict[str, str]]) -> np.ndarray:
        return np.array(
            [
                [
                    np.median(known) if row["age"] == "NA" else float(row["age"]),
                    row["age"] == "NA",
                    row["er"] != often(row_of="er"),
                    row["histology"] == "ILC",
                    *([row["histology"] == "other"] if others else []),
                ]
                for row in rows
            ],
            float,
        )

    def often(row_of: str) -> str:
        cells = [row[row_of] for row in rows]
        return max(set(cells), key=cells.count)

    others = sum(row["histology"] == "other" for row in rows) > 0
    scaler = StandardScaler().fit(numbers(rows))
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
    theirs.fit(scaler.transform(numbers(rows)), labels)
    new, _ = clinical_rows(50, 4)
    expected = theirs.predict_proba(scaler.transform(numbers(new)))[:, 1]
    np.testing.assert_allclose(fitted.probability(new), expected, atol=1e-4)


def test_a_baseline_takes_what_it_does_not_know_without_guessing_from_test_rows() -> None:
    rows, labels = clinical_rows(200, 3)
    fitted = fit_baseline(rows, labels, ["age", "er", "histology"])
    odd = [{"age": "", "er": "unheard of", "histology": "NA"}, {}]
    alone = [fitted.probability([row])[0] for row in odd]
    together = fitted.probability([*odd, *rows])
    np.testing.assert_allclose(together[:2], alone, rtol=1e-12)  # nor on its neighbours
    assert np.isfinite(together).all()


@pytest.mark.parametrize(
    ("rows", "labels", "columns", "says"),
    [
        ([{"age": "5"}] * 12, [1] * 9 + [0] * 3, ["age"], "9 positive and 3 negative"),
        ([{"age": "5"}] * 12, [1, 0] * 6, ["age"], "No column says anything"),
        ([{"age": ""}] * 12, [1, 0] * 6, ["age"], "No column says anything"),
    ],
)
def test_a_baseline_that_cannot_be_fitted_is_an_error_and_no_number(
    rows: list[dict[str, str]], labels: list[int], columns: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fit_baseline(rows, labels, columns)
