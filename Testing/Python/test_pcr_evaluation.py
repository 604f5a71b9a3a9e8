"""``pcr evaluate``: the numbers are right, of patients that nothing was fitted on."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import below_whole_banners, browse, figure_faults, page_faults
from cli_runs import command
from dce_volumes import files_below
from pcr_evaluations import THRESHOLDS, PcrCohort, change_block, make_pcr_evaluation
from PIL import Image

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli import main
from breastpredict.errors import InputError
from breastpredict.learning.evaluation import MODEL, CohortResult, MarkerResult
from breastpredict.stats import (
    binary_metrics,
    calibration,
    decision_curve,
    delong_test,
    roc_auc,
)
from breastpredict.study.evaluation import JoinError, evaluate_pcr, join_pcr
from breastpredict.study.evaluation.numbers import CLINICAL, TRAINED
from breastpredict.study.evaluation.pcr_cases import counts
from breastpredict.study.evaluation.pcr_numbers import PcrNumbers

FULL, ULTRASOUND = "pcr_full", "pcr_ultrasound"
HOSTILE = 'SITE <b>"x"</b> & $x_1$'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PcrCohort:
    """To look at; a test that changes something takes ``own``."""
    return make_pcr_evaluation(tmp_path_factory.mktemp("pcr"))


@pytest.fixture
def own(made: PcrCohort, tmp_path: Path) -> PcrCohort:
    """A copy of it."""
    folder = tmp_path / "pcr"
    shutil.copytree(made.run.parent, folder)
    cohort = replace(
        made.cohort,
        table=folder / "COHORT.csv",
        predictions=folder / "OUT",
        **{name: [dict(row) for row in getattr(made.cohort, name)]
           for name in ("rows", "predicted", "failures")},
    )  # fmt: skip
    scores = [dict(row) for row in made.scores]
    return replace(made, cohort=cohort, run=folder / "run", sets=dict(made.sets), scores=scores)


def join(made: PcrCohort, *, run: bool = True) -> Any:
    return join_pcr(made.cohort.table, made.cohort.predictions, made.run if run else None)


def of(numbers: PcrNumbers, variant: str, cohort: str, marker: str = MODEL) -> MarkerResult:
    task = numbers.tasks[numbers.variants.index(variant)]
    found = next(c for c in task.evaluation.cohorts if c.cohort == cohort)
    return next(m for m in found.markers if m.marker == marker)


def arrays(made: PcrCohort, variant: str, focality: str) -> tuple[np.ndarray, ...]:
    """Outcome, score and clinical score of the external patients, straight from the tables."""
    rows = {row["patient_id"]: row for row in made.cohort.rows}
    kept = [
        row
        for row in made.cohort.predicted
        if row["variant"] == variant
        and rows[row["patient_id"]]["focality"] == focality
        and rows[row["patient_id"]]["pcr"] != ""
    ]
    y = np.array([rows[row["patient_id"]]["pcr"] for row in kept], bool)
    return y, *(np.array([float(row[name]) for row in kept]) for name in ("p_pcr", "p_clinical"))


# --- Whom the numbers are of ---


def test_everybody_of_the_table_is_somewhere(made: PcrCohort) -> None:
    joined = join(made)
    a, b = counts(joined)
    assert (a["patients"], a["training"], a["evaluated"]) == (100, 70, 30)
    assert (b["patients"], b["no_outcome"], b["refused"], b["failed"], b["not_predicted"]) == (
        60, 1, 2, 1, 1,
    )  # fmt: skip
    assert b["evaluated"] == 55 == b["evaluated_pcr"] + b["evaluated_no_pcr"]
    stages = {entry.stage for entry in joined.lost if entry.kind == "refused"}
    assert stages == {"gate spacing"}


def test_validation_multifocal_external_and_seen_patients_are_groups_of_their_own(
    made: PcrCohort,
) -> None:
    numbers = evaluate_pcr(join(made))
    full = numbers.tasks[numbers.variants.index(FULL)].evaluation
    multifocal = arrays(made, FULL, "multifocal")[0].size
    assert {c.cohort: c.n for c in full.cohorts} == {
        "SITE-A (held out)": 12,
        "SITE-A (multifocal)": 18,
        "SITE-B": arrays(made, FULL, "unifocal")[0].size,
        "SITE-B (multifocal)": multifocal,
    }
    assert {c.cohort: c.n for c in full.training} == {"SITE-A (training)": 70}
    assert set(full.subgroups) == {
        "Subtype", "Oestrogen receptor", "Regimen", "Focality", "Cohort",
    }  # fmt: skip
    of_focality = {row.group: row.n for row in full.subgroups["Focality"]}
    assert of_focality["multifocal"] == 18 + multifocal


def test_variants_are_told_apart_and_never_pooled(made: PcrCohort) -> None:
    joined = join(made)
    numbers = evaluate_pcr(joined)
    assert numbers.variants == (FULL, ULTRASOUND)
    each = {v: sum(s.variant == v for s in joined.scored) for v in numbers.variants}
    external = [row for row in made.cohort.predicted if row["patient_id"] in
                {r["patient_id"] for r in made.cohort.rows if r["pcr"] != ""}]  # fmt: skip
    assert each[ULTRASOUND] == sum(row["variant"] == ULTRASOUND for row in external)
    assert each[FULL] == sum(row["variant"] == FULL for row in external) + 100  # of scores.csv
    (warning,) = joined.warnings
    assert f"{FULL} of {each[FULL]}, {ULTRASOUND} of {each[ULTRASOUND]} patients" in warning


# --- Numbers ---


@pytest.mark.parametrize("variant", [FULL, ULTRASOUND])
def test_the_numbers_are_those_of_the_statistics_on_the_same_patients(
    made: PcrCohort, variant: str
) -> None:
    numbers = evaluate_pcr(join(made))
    y, score, clinical = arrays(made, variant, "unifocal")
    found = of(numbers, variant, "SITE-B")
    assert found.threshold is not None and found.threshold.value == THRESHOLDS[variant]
    assert len(found.threshold.chosen_on) == 70
    assert found.auc == roc_auc(y, score)
    assert found.metrics == binary_metrics(y, score, THRESHOLDS[variant])
    assert found.calibration is not None and found.decision is not None
    assert found.calibration.brier == calibration(y, score).brier
    np.testing.assert_array_equal(found.decision.model, decision_curve(y, score).model)
    rival = of(numbers, variant, "SITE-B", CLINICAL)
    cut = made.baseline.baseline.threshold
    assert cut is not None
    assert rival.auc == roc_auc(y, clinical)
    assert rival.metrics == binary_metrics(y, clinical, cut)
    assert rival.against_model == delong_test(y, score, clinical)


def test_the_clinical_baseline_is_the_trainings_also_where_the_score_is(made: PcrCohort) -> None:
    numbers = evaluate_pcr(join(made))
    held = [row for row in made.cohort.rows if made.sets.get(row["patient_id"]) == "apart"]
    from breastpredict.pcr import PcrClinical

    p = [
        made.baseline.probability(
            PcrClinical(row["subtype"], row["er"], float(row["ki67"]), row["regimen"])
        )
        for row in held
    ]
    found = of(numbers, FULL, "SITE-A (multifocal)", CLINICAL)
    assert found.auc == roc_auc([row["pcr"] for row in held], p)


def test_every_variant_of_the_run_is_compared_on_the_patients_held_out(made: PcrCohort) -> None:
    found = evaluate_pcr(join(made)).ablation
    assert found is not None and found.reference == FULL
    assert {c.cohort: c.n for c in found.cohorts} == {
        "Held out (validation)": 12, "Multifocal (apart)": 18,
    }  # fmt: skip
    apart = made.patients("apart")
    label = {row["patient_id"]: row["pcr"] for row in made.cohort.rows}
    y = [label[p] for p in apart]
    by = {
        task: [next(float(r["score"]) for r in made.scores
                    if r["task"] == task and r["patient_id"] == p) for p in apart]
        for task in THRESHOLDS
    }  # fmt: skip
    multifocal: CohortResult = found.cohorts[1]
    assert [m.marker for m in multifocal.markers] == [
        FULL, "pcr_ultrasound", "pcr_pathology", CLINICAL,
    ]  # fmt: skip
    for marker in multifocal.markers[:3]:
        assert marker.auc == roc_auc(y, by[marker.marker])
        cut = THRESHOLDS[marker.marker]
        assert marker.metrics == binary_metrics(y, by[marker.marker], cut)
    pairs = {(p.cohort, p.first, p.second): p for p in found.pairs}
    assert len(pairs) == 2 * 6
    pair = pairs[("Multifocal (apart)", "pcr_ultrasound", "pcr_pathology")]
    assert pair.n == 18
    assert pair.test == delong_test(y, by["pcr_ultrasound"], by["pcr_pathology"])


# --- Leakage ---


def test_a_training_patient_marked_external_is_reported_with_the_training(own: PcrCohort) -> None:
    before = join(own)
    leaked = [row["patient_id"] for row in own.cohort.predicted[10:17]]
    own.sets.update(dict.fromkeys(leaked, "train"))
    own.write()
    after = join(own)
    assert any("7 patients are marked external" in line for line in after.warnings)
    unseen = {s.case.patient_id for s in after.scored if not s.training}
    assert unseen == {s.case.patient_id for s in before.scored if not s.training} - set(leaked)


def test_a_score_that_was_fitted_on_its_patients_is_refused(made: PcrCohort) -> None:
    joined = join(made)
    everybody = frozenset(case.patient_id for case in joined.cases)
    with pytest.raises(InputError, match="was fitted on"):
        evaluate_pcr(replace(joined, fitted_on=everybody))


def test_scores_that_say_another_set_than_the_split_are_refused(own: PcrCohort) -> None:
    for row in own.scores:
        if row["patient_id"] == own.patients("train")[0]:
            row["set"] = "validation"
    own.write()
    with pytest.raises(JoinError, match="1 patients in another set than its split"):
        join(own)


def test_patients_of_a_recalibration_no_longer_judge_it_and_both_cuts_are_shown(
    own: PcrCohort,
) -> None:
    local = [row["patient_id"] for row in own.cohort.predicted if row["variant"] == FULL][:15]
    (own.run / "local_validation.csv").write_text(
        "patient_id,cohort,pcr\n" + "".join(f"{p},SITE-B,1\n" for p in local)
    )
    change_block(
        own.run / FULL,
        {
            "recalibration": {"site": "SITE-B", "method": "all", "slope": 2.0, "intercept": 0.5},
            "local_validation": {"trained_threshold": 0.3},
        },
    )
    numbers = evaluate_pcr(join(own))
    task = numbers.tasks[numbers.variants.index(FULL)].evaluation
    training = {c.cohort: c.n for c in task.training}
    rows = {row["patient_id"]: row for row in own.cohort.rows}
    assert training["SITE-B (recalibrated on)"] == sum(rows[p]["pcr"] != "" for p in local)
    now, before = (of(numbers, FULL, "SITE-B", name) for name in (MODEL, TRAINED))
    assert now.auc == before.auc and before.threshold is not None
    assert before.threshold.value == pytest.approx(1 / (1 + np.exp(-(2 * np.log(0.3 / 0.7) + 0.5))))


def test_without_the_run_the_split_column_must_do_and_a_warning_says_so(made: PcrCohort) -> None:
    joined = join(made, run=False)
    assert any("--model" in line for line in joined.warnings)
    assert {s.group for s in joined.scored} == {"SITE-B", "SITE-B (multifocal)"}
    numbers = evaluate_pcr(joined)
    assert numbers.ablation is None
    clinical = of(numbers, FULL, "SITE-B", CLINICAL)
    assert clinical.auc is not None and clinical.metrics is None and "--model" in clinical.note


def test_an_outcome_that_changed_since_the_training_is_said(own: PcrCohort) -> None:
    own.cohort.rows[0]["pcr"] = 1 - own.cohort.rows[0]["pcr"]
    own.cohort.write()
    assert any("outcome of 1 patients is another" in line for line in join(own).warnings)


# --- What does not fit together ---


def test_every_violation_is_told_at_once_without_naming_a_patient(own: PcrCohort) -> None:
    rows = own.cohort.predicted
    rows[0]["patient_id"] = "MRN-99999"
    rows[1]["p_pcr"] = "1.5"
    rows[2]["cohort"] = "SITE-Z"
    rows[3]["expected"] = 1 - rows[3]["expected"]
    rows[4]["variant"] = "pcr_other"
    rows[6]["p_clinical"] = "0.5"
    rows[7]["threshold"] = "0.6"
    rows[7]["expected"] = int(float(rows[7]["p_pcr"]) >= 0.6)
    own.cohort.failures[0]["patient_id"] = rows[8]["patient_id"]
    own.cohort.write()
    with pytest.raises(JoinError) as raised:
        join(own)
    text = "\n".join(raised.value.violations)
    for says in ("row 2: the patient is not in the cohort table", "row 3, column p_pcr",
                 "row 4: is of cohort 'SITE-Z'", "row 5, column expected",
                 "row 6: RUN has no variant 'pcr_other'", "row 8, column p_clinical",
                 f"Variant {FULL}: the predictions are of more than one model",
                 "failures.csv row 2: the patient stands in predictions.csv row 10"):  # fmt: skip
        assert says in text, says
    assert "MRN" not in text and len(str(raised.value).splitlines()) == 1


def test_predictions_of_other_weights_are_refused(own: PcrCohort) -> None:
    change_block(own.run / FULL, {"weights_sha256": "0" * 64})
    with pytest.raises(JoinError, match=f"{FULL}: the predictions are of other weights than RUN"):
        join(own)


# --- The report ---


@dataclass(frozen=True)
class Page:
    """A report that was made."""

    made: PcrCohort
    folder: Path

    @property
    def text(self) -> str:
        return (self.folder / "index.html").read_text("utf-8")

    def table(self, name: str) -> list[dict[str, str]]:
        with open(self.folder / "tables" / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def words(made: PcrCohort, out: Path, *more: str | Path) -> list[str]:
    """The command."""
    cohort = made.cohort
    given = ("pcr", "evaluate", cohort.table, "--predictions", cohort.predictions, "--out", out)
    return [*map(str, (*given, *more)), "--quiet"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Of a cohort whose external site has a name that is none."""
    folder = tmp_path_factory.mktemp("page")
    made = make_pcr_evaluation(folder / "cohort", external=HOSTILE, pictures=8)
    chosen = made.cohort.predicted[1]["patient_id"]
    more = ("--model", made.run, "--case", chosen, "--random-cases", "2")
    assert main(words(made, folder / "report", *more)) == 0
    yield Page(made, folder / "report")


def test_figures_and_tables_are_there_and_the_page_holds_everything_in_itself(page: Page) -> None:
    drawn = {path.stem for path in (page.folder / "figures").glob("*.png")}
    kinds = ("roc", "confusion", "scores", "calibration", "decision", "subgroups")
    wanted = {f"{kind}_{variant}" for kind in kinds for variant in (FULL, ULTRASOUND)}
    assert drawn == wanted | {"roc_variants"}
    text = page.text
    assert RESEARCH_USE_ONLY in text and SYNTHETIC_WARNING in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(re.match(r"data:image/(svg\+xml|png);base64,|#", s) for s in sources)
    assert {s[1:] for s in sources if s[0] == "#"} <= set(re.findall(r'id="([^"]*)"', text))
    tables = {path.stem for path in (page.folder / "tables").glob("*.csv")}
    named = re.findall(r"<code>tables/([a-z0-9_]+)\.csv</code>", text)
    assert "roc_variants" in named and set(named) <= tables


def test_the_page_says_the_numbers_of_the_tables_and_of_the_json(page: Page) -> None:
    rows = [row for name in ("metrics.csv", "metrics_variants.csv")
            for row in page.table(name) if row["metric"] == "auc" and row["value"]]  # fmt: skip
    assert len(rows) >= 20
    for row in rows:
        assert f">{float(row['value']):.3f}<" in page.text
        assert f"{float(row['low']):.3f}–{float(row['high']):.3f}" in page.text
    content = json.loads((page.folder / "evaluation.json").read_text("utf-8"))
    found = {
        (task["task"]["name"], cohort["cohort"], marker["marker"]): marker["auc"]["value"]
        for task in content["tasks"]
        for cohort in (*task["cohorts"], *task["training"])
        for marker in cohort["markers"]
        if marker["auc"] is not None
    }
    assert found == {
        (row["task"], row["cohort"], row["marker"]): float(row["value"])
        for row in rows
        if row["task"] != "variants"
    }
    assert CLINICAL in {marker for _, _, marker in found}
    assert [v["variant"] for v in content["variants"]] == [FULL, ULTRASOUND]
    assert len(page.table("delong_variants.csv")) == 12 == len(content["ablation"]["pairs"])


def test_an_awkward_name_is_text_and_nothing_else(page: Page) -> None:
    assert "SITE &lt;b&gt;" in page.text and "<b>" not in page.text


def test_nobody_is_named_or_dropped_and_reasons_lose_their_places(page: Page) -> None:
    for path in files_below(page.folder):
        assert "MRN-" not in path.read_bytes().decode("utf-8", "replace"), path.name
    lost = page.table("not_evaluated.csv")
    assert sorted(row["kind"] for row in lost) == ["failed", "not predicted", "refused", "refused"]
    assert "The file is cut short […]" in page.text
    assert "trained on 0.05 to 0.20 mm" in page.text


def test_cases_are_shown_with_their_pictures_and_both_scores(page: Page) -> None:
    row = page.made.cohort.predicted[1]
    shown = page.text.split('<div class="case">')[1:]
    assert f"{row['case_key']} (chosen)" in shown[0]
    assert f"Score {float(row['p_pcr']):.3f} ({row['variant']})" in shown[0]
    assert f"clinical variables only: {float(row['p_clinical']):.3f}" in shown[0]
    assert "6.0 weeks" in shown[0] and "US-1: what the network sees" in shown[0]
    assert "data:image/png;base64," in shown[0]


def test_a_browser_shows_all_of_it_and_nothing_overflows(
    page: Page, chromium: str, tmp_path: Path
) -> None:
    assert page_faults(chromium, tmp_path, page.text, 1280) == []
    assert figure_faults(chromium, tmp_path, page.folder / "figures") == []
    png = tmp_path / "page.png"
    browse(chromium, tmp_path, page.folder / "index.html", "--window-size=1280,2400",
           f"--screenshot={png}")  # fmt: skip
    body = below_whole_banners(np.asarray(Image.open(png).convert("RGB"))).astype(int)
    assert (np.abs(body - (0, 114, 178)).max(axis=2) < 30).sum() > 1000  # the model's curves


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--case", "nobody"), "'nobody' is no predicted patient"),
        (("--random-cases", "-1"), "--random-cases must lie between"),
        (("--model", "nowhere"), "There is no such run folder"),
        (("--predictions", "nowhere"), "Make them with: pcr batch"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_no_report(
    made: PcrCohort,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    says: str,
) -> None:
    ended = command(capfd, *words(made, tmp_path / "report", *more))
    assert ended.code == 2 and says in ended.line
    assert not list(tmp_path.iterdir())
