"""A run made to fit local patients: what is fitted, what is refused, and what stays as it was."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.learning.recalibration import fit_platt, fit_temperature, recalibrate

torch = pytest.importorskip("torch")

from breastpredict.cli import main  # noqa: E402
from breastpredict.her2 import Her2Model, describe_run  # noqa: E402
from breastpredict.her2.cases import label_of  # noqa: E402
from breastpredict.models import load_bundle, read_bundle_metadata, save_bundle  # noqa: E402
from breastpredict.phantom import make_her2_phantom, write_random_run  # noqa: E402
from breastpredict.study import read_cohort  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS = ("her2_zero_vs_rest", "her2_low_vs_positive")
SITE = "SITE-B"
Logits = dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]
Call = Callable[..., tuple[int, str, str]]


# --- The fit itself ---


def overlapping(n: int = 60, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of a model that is too sure of itself and thinks of another prevalence."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=n) < 0.35).astype(np.int64)
    return 3.0 * rng.normal(1.2 * labels, 1.0) + 2.0, labels


def test_platt_is_the_logistic_regression_without_a_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    z, y = overlapping()
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(z[:, None], y)
    assert fit_platt(z, y) == pytest.approx(
        (reference.coef_[0, 0], reference.intercept_[0]), abs=1e-5
    )


def test_temperature_has_the_largest_likelihood() -> None:
    from scipy.optimize import minimize_scalar

    z, y = overlapping()

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        return float(np.sum(np.logaddexp(0, scaled) - y * scaled))

    best = minimize_scalar(loss, bounds=(-5, 8), method="bounded", options={"xatol": 1e-10})
    assert fit_temperature(z, y) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_after_platt_the_mean_probability_is_the_share_of_positives() -> None:
    z, y = overlapping()
    found = recalibrate(z, y, 0.5, SITE, method="platt")
    scaled = 1 / (1 + np.exp(-(found.recalibration.slope * z + found.recalibration.intercept)))
    assert scaled.mean() == pytest.approx(y.mean())
    assert found.after["brier"] < found.before["brier"]
    assert found.after["auc"] == found.before["auc"]


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_scaling_alone_changes_no_decision(method: Any) -> None:
    z, y = overlapping()
    found = recalibrate(z, y, 0.7, SITE, method=method)
    scaled = 1 / (1 + np.exp(-(found.recalibration.slope * z + found.recalibration.intercept)))
    assert ((scaled >= found.threshold) == (1 / (1 + np.exp(-z)) >= 0.7)).all()


def test_a_threshold_can_be_chosen_by_its_sensitivity() -> None:
    z, y = overlapping()
    found = recalibrate(z, y, 0.5, SITE, method="threshold", sensitivity=0.9)
    scores = 1 / (1 + np.exp(-z))
    called = scores[y == 1] >= found.threshold
    assert called.mean() >= 0.9
    higher = np.sort(scores[scores > found.threshold])[0]
    assert (scores[y == 1] >= higher).mean() < 0.9 or higher not in scores[y == 1]
    assert (found.recalibration.slope, found.recalibration.intercept) == (1, 0)


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        (np.arange(19.0), np.arange(19) % 2, "Too few local patients: 19"),
        (np.arange(30.0), (np.arange(30) < 4) * 1, "4 and 26 of the two classes"),
        (np.arange(30.0), (np.arange(30) > 15) * 1, "without overlap"),
        (np.arange(30.0), (np.arange(30) < 15) * 1, "wrong way|without overlap"),
        (-overlapping()[0], overlapping()[1], "wrong way"),
        (np.zeros(30), np.arange(30) % 2, "All scores are equal"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(z: Any, y: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recalibrate(z, y.astype(np.int64), 0.5, SITE)


# --- Through the command line ---


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COHORT.csv of a training site, a local site and a small one."""
    folder = tmp_path_factory.mktemp("cohort")
    return make_her2_phantom(
        folder,
        {"SITE-A": 6, SITE: 36, "SITE-C": 6},
        seed=5,
        matrix=48,
        slices=8,
        phases=2,
        workers=1,
    )


def local_logits(run: Path, cohort: Path, site: str = SITE) -> Logits:
    """Task → logits and labels of the site's patients, one by one, with the library alone."""
    model = Her2Model.load(run)
    cases = [c for c in read_cohort(cohort) if c.cohort == site]
    found = [
        model.logits(model.prepare(c.study, segmentation=c.segmentation, **c.reading))
        for c in cases
    ]
    result: Logits = {}
    for task in TASKS:
        pairs = [(f[task], label_of(task, c.her2)) for f, c in zip(found, cases, strict=True)]
        inside = [(z, y) for z, y in pairs if y is not None]
        result[task] = (np.array([z for z, _ in inside]), np.array([y for _, y in inside]))
    return result


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks whose scores point the right way, and the split of SITE-A."""
    folder = write_random_run(tmp_path_factory.mktemp("run"))
    for task, (z, y) in local_logits(folder, cohort).items():
        bundle = load_bundle(folder / task)
        right = z[y == 1].mean() > z[y == 0].mean()
        with torch.no_grad():
            bundle.model.head.weight.mul_(20.0 if right else -20.0)
            bundle.model.head.bias.fill_(-20.0 * z.mean() if right else 20.0 * z.mean())
        save_bundle(
            folder / task, bundle.model, network=bundle.block["network"], metadata=bundle.block
        )
    cases = [c for c in read_cohort(cohort) if c.cohort == "SITE-A"]
    lines = [f"{c.patient_id},{c.cohort},{c.her2},train" for c in cases]
    (folder / "split.csv").write_text("\n".join(["patient_id,cohort,her2,set", *lines]) + "\n")
    return folder


@pytest.fixture
def call(cohort: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """``her2 recalibrate``: exit code, standard output, standard error; into tmp_path/run2."""

    def recalibrated(*options: str, table: Path = cohort) -> tuple[int, str, str]:
        arguments = ["her2", "recalibrate", str(table), "--model", str(run), "--quiet"]
        code = main([*arguments, "--out", str(tmp_path / "run2"), *options])
        return (code, *capsys.readouterr())

    return recalibrated


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def edited(table: Path, target: Path, change: Callable[[dict[str, str]], Any]) -> Path:
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in ("study", "segmentation"):
            row[name] = str(table.parent / row[name])
        change(row)
    with open(target, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_a_run_becomes_a_new_version_with_the_same_weights(
    call: Call, cohort: Path, run: Path, tmp_path: Path
) -> None:
    from sklearn.linear_model import LogisticRegression

    before = content(run)
    code, out, _ = call("--cohort", SITE)
    assert code == 0 and "36 patients" in out
    assert content(run) == before  # the original is never changed
    for task, (z, y) in local_logits(run, cohort).items():
        old, new = (read_bundle_metadata(r / task) for r in (run, tmp_path / "run2"))
        block, local = new["breastpredict"], new["breastpredict"]["local_validation"]
        assert block["weights_sha256"] == old["breastpredict"]["weights_sha256"]
        assert before[f"{task}/models/model.safetensors"] == block["weights_sha256"]
        assert (old["version"], new["version"]) == ("0.1.0", "0.2.0")
        assert block["parent"]["metadata_sha256"] == before[f"{task}/configs/metadata.json"]
        assert SITE in new["changelog"]["0.2.0"]
        reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(z[:, None], y)
        given = block["recalibration"]
        assert (given["slope"], given["intercept"]) == pytest.approx(
            (reference.coef_[0, 0], reference.intercept_[0]), rel=1e-4, abs=1e-4
        )
        assert (local["patients"], local["site"]) == (len(y), SITE)
        assert (local["positive"], local["negative"]) == (y.sum(), (1 - y).sum())
        assert local["before"]["threshold"] == local["trained_threshold"] == 0.4
        assert local["after"]["threshold"] == block["threshold"] != 0.4
        assert local["after"]["brier"] < local["before"]["brier"]
        assert block["calibration"]["probability"] is True
        card = (tmp_path / "run2" / task / "docs" / "README.md").read_text()
        assert f"Recalibrated at {SITE}" in card and "0.2.0" in card
        said = {t["task"]: t for t in describe_run(tmp_path / "run2")["tasks"]}[task]
        assert said["local_validation"]["patients"] == len(y) and said["version"] == "0.2.0"
    with open(tmp_path / "run2" / "local_validation.csv", newline="") as file:
        used = {row["patient_id"] for row in csv.DictReader(file)}
    assert used == {c.patient_id for c in read_cohort(cohort) if c.cohort == SITE}
    for path in (tmp_path / "run2").rglob("*"):  # patients are named in tables alone
        assert path.suffix == ".csv" or path.is_dir() or b"PHANTOM" not in path.read_bytes()


def test_predictions_use_it_and_say_so(
    call: Call, cohort: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--cohort", SITE)[0] == 0
    case = next(c for c in read_cohort(cohort) if c.cohort == SITE)
    arguments = ["her2", "predict", str(case.study), "--segmentation", str(case.segmentation)]
    arguments += ["--model", str(tmp_path / "run2"), "--out", str(tmp_path / "out"), "--json"]
    assert main([*arguments, "--explain", "none", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    raw = Her2Model.load(run)
    logits = raw.logits(raw.prepare(case.study, segmentation=case.segmentation))
    for score in result["scores"]:
        block = read_bundle_metadata(tmp_path / "run2" / score["task"])["breastpredict"]
        z = block["recalibration"]["slope"] * logits[score["task"]]
        z += block["recalibration"]["intercept"]
        assert score["score"] == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-6)
        assert score["threshold"] == block["threshold"]
        assert score["calibrated"] is True and SITE in score["calibration"]


def test_a_threshold_alone_leaves_the_score(call: Call, run: Path, tmp_path: Path) -> None:
    assert call("--cohort", SITE, "--method", "threshold")[0] == 0
    for task in TASKS:
        block = read_bundle_metadata(tmp_path / "run2" / task)["breastpredict"]
        assert (block["recalibration"]["slope"], block["recalibration"]["intercept"]) == (1, 0)
        assert block["calibration"]["probability"] is False  # it was a score and stays one
        assert block["threshold"] != 0.4


def test_patients_of_the_training_are_refused_with_their_number(
    call: Call, cohort: Path, tmp_path: Path
) -> None:
    code, _, error = call("--cohort", "SITE-A")
    assert code == 2 and "6 of the 6 patients" in error and "PHANTOM" not in error

    ids = [c.patient_id for c in read_cohort(cohort) if c.cohort == "SITE-A"][:2]

    def move(row: dict[str, str]) -> None:
        if row["patient_id"] in ids:  # two training patients hidden among the local ones
            row["cohort"] = SITE

    code, _, error = call("--cohort", SITE, table=edited(cohort, tmp_path / "c.csv", move))
    assert code == 2 and "2 of the 38 patients" in error and "2 in its train set" in error
    assert not (tmp_path / "run2").exists()


def test_test_patients_decide_nothing(call: Call, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    kept = [c.patient_id for c in read_cohort(cohort) if c.cohort == SITE][6:]

    def mark(row: dict[str, str]) -> None:
        if row["cohort"] == SITE and row["patient_id"] not in kept:
            # Reading one of these would fail.
            row["split"], row["study"] = "test", str(tmp_path / "empty")

    code, out, _ = call("--cohort", SITE, table=edited(cohort, tmp_path / "c.csv", mark))
    assert code == 0 and "6 patients are marked 'test' and left out" in out
    local = read_bundle_metadata(tmp_path / "run2" / TASKS[0])["breastpredict"]["local_validation"]
    assert local["patients"] == 30


def test_too_few_patients_are_refused_with_the_reason(call: Call, tmp_path: Path) -> None:
    code, _, error = call("--cohort", "SITE-C")
    assert code == 2 and "Too few local patients: 6" in error and error.count("\n") == 1
    assert not (tmp_path / "run2").exists()


def test_a_task_with_too_few_stays_as_it_was_and_that_is_said(
    call: Call, cohort: Path, run: Path, tmp_path: Path
) -> None:
    def fewer(row: dict[str, str]) -> None:
        if row["cohort"] == SITE and row["ihc"] == "3+":
            row["ihc"], row["ish"] = "2+", "-"
        elif row["cohort"] == SITE and row["ish"] == "+":
            row["ish"] = "-"

    code, out, _ = call("--cohort", SITE, table=edited(cohort, tmp_path / "c.csv", fewer))
    assert code == 1 and "Task 2" in out and "stays as it was" in out
    assert content(tmp_path / "run2" / TASKS[1]) == content(run / TASKS[1])
    assert describe_run(tmp_path / "run2")["tasks"][0]["local_validation"]["patients"] == 36


def test_another_site_and_a_folder_in_use_are_refused(call: Call, tmp_path: Path) -> None:
    code, _, error = call("--cohort", "SITE-X")
    assert code == 2 and "Use one of SITE-A, SITE-B, SITE-C" in error
    (tmp_path / "run2").mkdir()
    (tmp_path / "run2" / "letter.txt").write_text("mine")
    code, _, error = call("--cohort", SITE)
    assert code == 2 and "not empty" in error
    assert [p.name for p in (tmp_path / "run2").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("change", [{"slope": -1.0}, {"slope": "x"}, {"intercept": None}])
def test_a_damaged_recalibration_is_refused(
    call: Call, tmp_path: Path, change: dict[str, Any]
) -> None:
    assert call("--cohort", SITE, "--method", "threshold")[0] == 0
    path = tmp_path / "run2" / TASKS[0] / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["breastpredict"]["recalibration"].update(change)
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="damaged"):
        Her2Model.load(tmp_path / "run2")
