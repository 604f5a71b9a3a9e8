"""Training the pCR networks: who is seen by what, and what a run folder then holds."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcr_runs import SIZE, VARIANTS, PcrTrained, rows
from PIL import Image
from slide_files import tissue

from breastpredict.errors import InputError
from breastpredict.pcr import (
    PcrCase,
    PcrClinical,
    PcrInputs,
    PcrModel,
    PcrPolicy,
)
from breastpredict.pcr.baseline import clinical_row, fit_clinical, read_baseline, write_baseline
from breastpredict.pcr.train import split_pool, train_pcr
from breastpredict.pcr.train_config import PcrTrainConfig

pytest.importorskip("torch")

from breastpredict.models import load_bundle, read_bundle_metadata

pytestmark = pytest.mark.usefixtures("one_thread")

BUNDLES = tuple(f"pcr_{name}" for name in VARIANTS)


# --- The run folder of a cohort with everything in it ---


def test_the_split_is_8_1_1_by_patient_with_multifocal_patients_apart(
    pcr_trained: PcrTrained,
) -> None:
    sets = pcr_trained.sets()
    pool = [c for c in pcr_trained.cases if c.split != "external"]
    assert set(sets) == {c.patient_id for c in pool}
    single = [c for c in pool if c.focality == "unifocal"]
    counts = Counter(sets[c.patient_id] for c in single)
    for name, share in (("train", 0.8), ("tuning", 0.1), ("validation", 0.1)):
        assert abs(counts[name] / len(single) - share) < 0.06
        assert {c.pcr for c in single if sets[c.patient_id] == name} == {True, False}
    assert {sets[c.patient_id] for c in pool if c.focality == "multifocal"} == {"apart"}
    assert list(sets.values()).count("apart") == 2


def test_every_patient_of_the_pool_is_scored_by_every_variant_and_nobody_else(
    pcr_trained: PcrTrained,
) -> None:
    sets, scores = pcr_trained.sets(), rows(pcr_trained.run / "scores.csv")
    for name in BUNDLES:
        mine = {row["patient_id"]: row for row in scores if row["task"] == name}
        assert set(mine) == set(sets)
        for patient, row in mine.items():
            assert row["set"] == sets[patient]
            assert row["out_of_sample"] == str(int(row["set"] not in ("train", "tuning")))
            assert row["above"] == str(int(float(row["score"]) >= float(row["threshold"])))
    labels = {c.patient_id: str(int(bool(c.pcr))) for c in pcr_trained.cases}
    assert all(row["label"] == labels[row["patient_id"]] for row in scores)


def test_bundles_say_what_they_take_and_load(pcr_trained: PcrTrained) -> None:
    expected = {
        "pcr_full": ["pathology", "us0", "us1", "clinical"],
        "pcr_ultrasound": ["us0", "us1", "clinical"],
    }
    for name, inputs in expected.items():
        bundle = load_bundle(pcr_trained.run / name, "cpu", "pcr")
        block = bundle.block
        assert block["network"]["modalities"] == inputs and list(bundle.model.inputs) == inputs
        assert (block["positive_class"], block["synthetic"]) == ("pcr", True)
        assert 0 < block["threshold"] < 1
        assert PcrPolicy.from_block(block) == PcrPolicy()
        assert ("region_um" in block["training_data"]) == ("pathology" in inputs)
        assert {"us0_side_mm", "us1_spacing_mm", "interval_weeks"} <= set(block["training_data"])
    content = json.loads((pcr_trained.run / "run.json").read_text())
    assert content["synthetic"] is True and "not a result" in content["warning"]
    assert content["split"]["patients"]["apart"] == 2


def test_the_ranges_for_the_gates_are_of_the_fitted_patients_alone(
    pcr_trained: PcrTrained,
) -> None:
    fitted = len(pcr_trained.fitted())
    block = read_bundle_metadata(pcr_trained.run / "pcr_full", "pcr")["breastpredict"]
    assert block["training_data"]["us0_side_mm"]["cases"] == fitted
    assert fitted < len(pcr_trained.sets())


def test_only_the_tables_name_patients_and_nothing_is_left_of_their_images(
    pcr_trained: PcrTrained,
) -> None:
    tables = {"split.csv", "scores.csv", "failures.csv"}
    for path in pcr_trained.run.rglob("*"):
        assert "PHANTOM-PCR" not in path.name
        assert path.suffix not in (".npy", ".pt")
        if path.is_file() and path.name not in tables:
            assert b"PHANTOM-PCR" not in path.read_bytes(), path.name


def test_predicting_a_patient_of_the_cohort_gives_the_score_of_the_training(
    pcr_trained: PcrTrained, pcr_model: PcrModel
) -> None:
    """What a network is trained on and what it is later given are one and the same."""
    case = pcr_trained.with_slide(".tif")
    scores = {
        row["task"]: float(row["score"])
        for row in rows(pcr_trained.run / "scores.csv")
        if row["patient_id"] == case.patient_id
    }
    for name in BUNDLES:
        found = pcr_model.predict(*pcr_model.prepare(case, name), explain=())
        assert found.score.score == pytest.approx(scores[name], abs=1e-6)


# --- Which variant ---


def test_the_variant_that_takes_most_of_what_there_is_is_chosen(
    pcr_trained: PcrTrained, pcr_model: PcrModel
) -> None:
    facts, case = pcr_model.facts, pcr_trained.cases[0]
    assert facts.choose(case) == "pcr_full"
    assert facts.choose(replace(case, pathology=None)) == "pcr_ultrasound"
    assert facts.choose(case, "pcr_ultrasound") == "pcr_ultrasound"


@pytest.mark.parametrize(
    "change",
    [{"us0": None}, {"us1": None}, {"clinical": PcrClinical()}, {"clinical": PcrClinical(ki67=9)}],
)
def test_without_a_variant_for_what_there_is_the_patient_is_refused_in_one_line(
    change: dict[str, Any], pcr_trained: PcrTrained, pcr_model: PcrModel
) -> None:
    with pytest.raises(InputError, match="No variant of the model was trained") as caught:
        pcr_model.prepare(replace(pcr_trained.cases[0], **change))
    assert "\n" not in str(caught.value) and "pcr_ultrasound needs US-0, US-1" in str(caught.value)
    with pytest.raises(InputError, match="has no variant 'x'"):
        pcr_model.prepare(pcr_trained.cases[0], "x")
    with pytest.raises(InputError):  # also where it is named: never a silent zero
        pcr_model.prepare(replace(pcr_trained.cases[0], **change), "pcr_ultrasound")


# --- Bundles of another kind ---


def one_line(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert text and "\n" not in text
    return text


def copied(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to / "run"))


def test_weights_of_one_configuration_in_the_bundle_of_another_are_refused(
    pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    run = copied(pcr_trained.run, tmp_path)
    weights = "models/model.safetensors"
    shutil.copyfile(run / "pcr_full" / weights, run / "pcr_ultrasound" / weights)
    assert "pcr_ultrasound" in one_line(lambda: load_bundle(run / "pcr_ultrasound", "cpu", "pcr"))
    # Also where the hash was made to fit: their shapes tell.
    metadata = run / "pcr_ultrasound" / "configs" / "metadata.json"
    content = json.loads(metadata.read_text())
    digest = hashlib.sha256((run / "pcr_full" / weights).read_bytes()).hexdigest()
    content["breastpredict"]["weights_sha256"] = digest
    metadata.write_text(json.dumps(content))
    assert "pcr_ultrasound" in one_line(lambda: load_bundle(run / "pcr_ultrasound", "cpu", "pcr"))


def test_a_network_given_other_inputs_than_its_own_says_so(
    pcr_trained: PcrTrained, pcr_model: PcrModel
) -> None:
    _, full = pcr_model.prepare(pcr_trained.cases[0], "pcr_full")
    lacking = {k: v for k, v in full.inputs.items() if k not in ("us1", "pathology")}
    longer = {**full.inputs, "clinical": np.zeros(5, np.float32)}
    larger = {**full.inputs, "us0": np.zeros((1, 2 * SIZE, 2 * SIZE), np.float32)}
    for variant, arrays, words in (
        ("pcr_ultrasound", lacking, "us1 missing"),
        ("pcr_ultrasound", full.inputs, "pathology not asked for"),
        ("pcr_full", longer, "input clinical has shape"),
        ("pcr_full", larger, "input us0 has shape"),
    ):
        for explain in ((), ("gradcam",)):
            text = one_line(
                lambda v=variant, a=arrays, e=explain: pcr_model.outputs(PcrInputs(v, a), e)  # type: ignore[misc]
            )
            assert words in text


def test_a_run_of_the_other_system_is_refused(
    pcr_trained: PcrTrained, tiny_run: Path, tmp_path: Path
) -> None:
    from breastpredict.her2 import Her2Model

    assert "pcr" in one_line(lambda: PcrModel.load(tiny_run)).lower()
    assert one_line(lambda: Her2Model.load(pcr_trained.run))
    assert "no such run folder" in one_line(lambda: PcrModel.load(tmp_path / "absent"))
    assert "no model bundle" in one_line(lambda: PcrModel.load(tmp_path))


def test_a_single_bundle_is_a_model_too(pcr_trained: PcrTrained) -> None:
    one = PcrModel.load(pcr_trained.run / "pcr_ultrasound")
    assert list(one.facts.variants) == ["pcr_ultrasound"]
    assert one.facts.baseline is not None


# --- The clinical baseline ---


def test_the_baseline_of_the_run_is_that_of_its_fitted_patients(pcr_trained: PcrTrained) -> None:
    fitted = pcr_trained.fitted()
    expected = fit_clinical([c.clinical for c in fitted], [int(bool(c.pcr)) for c in fitted])
    found = read_baseline(pcr_trained.run)
    assert found is not None
    for case in pcr_trained.cases:
        assert found.probability(case.clinical) == expected.probability(case.clinical)
    everyone = [c for c in pcr_trained.cases if c.split != "external"]
    of_all = fit_clinical([c.clinical for c in everyone], [int(bool(c.pcr)) for c in everyone])
    assert any(found.probability(c.clinical) != of_all.probability(c.clinical) for c in fitted)


def test_a_baseline_that_was_written_is_the_same_when_read(
    pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    found = read_baseline(pcr_trained.run)
    assert found is not None and read_baseline(tmp_path) is None
    write_baseline(tmp_path, found)
    again = read_baseline(tmp_path)
    assert again is not None
    half = PcrClinical(ki67=33.0)
    everyone = [clinical_row(c.clinical) for c in pcr_trained.cases] + [clinical_row(half)]
    assert np.array_equal(
        again.baseline.probability(everyone), found.baseline.probability(everyone)
    )
    assert again.baseline.coefficients == found.baseline.coefficients
    path = tmp_path / "clinical_baseline.json"
    for damage in ("{", '{"columns": []}', "[1, 2]", path.read_text().replace("fill", "full")):
        path.write_text(damage)
        assert "baseline" in one_line(lambda: read_baseline(tmp_path))


# --- Small runs from pictures: what training sees, and what it never does ---

QUICK = PcrTrainConfig(
    preset="reduced",
    variants=("pathology",),
    clinical="selected",
    epochs=3,
    device="cpu",
    seed=3,
    minimum_per_class=4,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[PcrCase]:
    """20 patients with a picture of their biopsy; what tells of them is the Ki-67.

    Four are marked validation, two are multifocal, and of two outside ones there is no file.
    """
    folder = tmp_path_factory.mktemp("pictures")
    cases = []
    for number in range(24):
        path = folder / f"{number}.png"
        split = "external" if number >= 22 else "validation" if number >= 18 else "train"
        if split != "external":
            Image.fromarray(tissue(192, 192, seed=number)).save(path)
        positive = number % 2 == 0
        # Ki-67 overlaps a little; the regimen tells nothing.
        clinical = PcrClinical(
            "TN", "negative", 40.0 + 25 * positive + (7 * number) % 31, REGIMEN[number // 2 % 2]
        )
        cases.append(
            PcrCase(
                patient_id=f"P{number:02d}",
                cohort="SITE-A" if number < 22 else "SITE-B",
                split=split,
                focality="multifocal" if number in (16, 17) else "unifocal",
                pathology=path,
                clinical=clinical,
                pcr=positive,
            )
        )
    return cases


REGIMEN = ("taxane", "taxane+platinum")


@pytest.fixture(scope="module")
def small_run(pictures: list[PcrCase], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "run"
    absent = replace(pictures[0], patient_id="P99", pathology=out / "absent.png")
    train_pcr([*pictures, absent], out, QUICK)
    return out


def bundle_files(run: Path) -> dict[str, bytes]:
    """All of the bundle that follows from what was seen: weights and metadata."""
    bundle = run / "pcr_pathology"
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    text = json.dumps(seen(metadata["breastpredict"]), sort_keys=True)
    return {
        "weights": (bundle / "models" / "model.safetensors").read_bytes(),
        "metadata": text.encode(),
    }


def seen(block: dict[str, Any]) -> dict[str, Any]:
    """Without what is reported of patients who decide nothing."""
    kept = {k: v for k, v in block.items() if k != "sites"}
    for name in ("auc", "metrics", "counts"):
        kept[name] = {k: v for k, v in block[name].items() if k in ("train", "tuning")}
    return kept


def test_a_patient_that_cannot_be_used_is_a_failure_with_a_reason(small_run: Path) -> None:
    (failure,) = rows(small_run / "failures.csv")
    assert failure["patient_id"] == "P99" and "variant pathology: " in failure["reason"]
    assert {row["patient_id"] for row in rows(small_run / "scores.csv")}.isdisjoint({"P99"})


def test_rows_marked_external_are_in_no_file_of_the_run(small_run: Path) -> None:
    """Their images do not even exist, and are no failures."""
    for name in ("split.csv", "scores.csv", "failures.csv"):
        assert {"P22", "P23"}.isdisjoint(row["patient_id"] for row in rows(small_run / name))
    sets = {row["patient_id"]: row["set"] for row in rows(small_run / "split.csv")}
    assert {p for p, name in sets.items() if name == "validation"} == {"P18", "P19", "P20", "P21"}
    assert {p for p, name in sets.items() if name == "apart"} == {"P16", "P17"}


def test_what_is_selected_and_learnt_comes_from_the_training_patients_alone(
    pictures: list[PcrCase], small_run: Path, tmp_path: Path
) -> None:
    block = read_bundle_metadata(small_run / "pcr_pathology", "pcr")["breastpredict"]
    assert block["network"]["clinical"] == ["ki67"]
    absent = replace(pictures[0], patient_id="P99", pathology=tmp_path / "absent.png")
    # The outcomes of everybody else are turned round, and their variables too.
    other = [
        c
        if c.split == "train" and c.focality == "unifocal"
        else replace(c, pcr=not c.pcr, clinical=PcrClinical("HR+/HER2-", "low", 1.0, "taxane"))
        for c in pictures
    ]
    train_pcr([*other, absent], tmp_path / "run", QUICK)
    assert bundle_files(tmp_path / "run") == bundle_files(small_run)
    before, after = (rows(run / "scores.csv") for run in (small_run, tmp_path / "run"))
    changed = {a["set"] for a, b in zip(before, after, strict=True) if a["label"] != b["label"]}
    assert changed == {"validation", "apart"}  # it was the outcomes that were turned


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    pictures: list[PcrCase], small_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    absent = replace(pictures[0], patient_id="P99", pathology=tmp_path / "absent.png")

    class Killed(BaseException):
        pass

    def kill(stage: str, done: int, total: int, line: str) -> None:
        if stage.startswith("pcr_") and done == 2:
            raise Killed

    with pytest.raises(Killed):
        train_pcr([*pictures, absent], out, QUICK, kill)
    assert not (out / "pcr_pathology").exists()
    assert "Give --resume" in one_line(lambda: train_pcr([*pictures, absent], out, QUICK))
    stages: list[tuple[str, int]] = []
    train_pcr(
        [*pictures, absent], out, QUICK, lambda s, d, n, line: stages.append((s, d)), resume=True
    )
    assert [done for stage, done in stages if stage.startswith("pcr_")] == [3]  # the rest only
    assert bundle_files(out) == bundle_files(small_run)
    # A finished run is returned as it is: nothing is read any more.
    again = train_pcr([*pictures, absent], out, QUICK, lambda *_: pytest.fail("again"), resume=True)
    assert [task.task for task in again.tasks] == ["pcr_pathology"] and len(again.failures) == 1
    for config, words in (
        (replace(QUICK, seed=4), "seed"),
        (replace(QUICK, policy=PcrPolicy(scale="own")), "scale"),
    ):
        text = one_line(lambda c=config: train_pcr(pictures, out, c, resume=True))  # type: ignore[misc]
        assert words in text


# --- Cohorts that are none ---


def test_leakage_and_thin_cohorts_are_refused(pictures: list[PcrCase], tmp_path: Path) -> None:
    def refusal(cases: Sequence[PcrCase], config: PcrTrainConfig = QUICK) -> str:
        return one_line(lambda: train_pcr(cases, tmp_path / "run", config))

    leaked = [*pictures, replace(pictures[22], patient_id="P00")]
    assert "P00" not in refusal(leaked)  # and no message names a patient
    assert "no row to train on" in refusal(pictures[22:])
    assert "no row to train on" in refusal([replace(c, pcr=None) for c in pictures])
    unmarked = [replace(c, split="", cohort="AB"[n % 2]) for n, c in enumerate(pictures[:20])]
    assert "unclear which are external" in refusal(unmarked)
    assert re.search(
        "Too few usable patients", refusal(pictures, replace(QUICK, minimum_per_class=11))
    )
    assert not (tmp_path / "run").exists()


def test_settings_that_fit_nothing_are_refused() -> None:
    for wrong in (
        {"preset": "x"},
        {"variants": ()},
        {"variants": ("full", "full")},
        {"variants": ("nothing",)},
        {"preset": "vit", "variants": ("no-se",)},
        {"clinical": "all"},
        {"epochs": 0},
        {"preset": "reduced", "micro_batch": 2},
    ):
        assert one_line(lambda w=wrong: PcrTrainConfig(**w))  # type: ignore[misc]


def test_a_split_is_the_same_for_the_same_seed_and_another_for_another(
    pcr_trained: PcrTrained,
) -> None:
    pool = [c for c in pcr_trained.cases if c.split != "external"]
    assert split_pool(pool, 1) == split_pool(pool, 1) == pcr_trained.sets()
    assert split_pool(pool, 2) != split_pool(pool, 1)


# --- Recalibration ---


def test_a_run_is_fitted_to_a_site_and_stays_what_it_was_elsewhere(
    pictures: list[PcrCase], small_run: Path, tmp_path: Path
) -> None:
    from breastpredict.pcr.recalibrate import recalibrate_pcr

    before = {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()}
    local = [
        replace(c, patient_id=f"L{n:02d}{copy}", cohort="SITE-L", split="")
        for copy in "ab"
        for n, c in enumerate(pictures[:18])
    ]
    local[0] = replace(local[0], pathology=tmp_path / "absent.png")
    local[1] = replace(local[1], split="test")
    local[2] = replace(local[2], pcr=None)
    done = recalibrate_pcr(local, small_run, "SITE-L", tmp_path / "new")
    assert {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()} == before
    fitted = done.fitted["pcr_pathology"]
    assert sum(fitted.patients.values()) == 33 and not done.left
    assert [f.patient_id for f in done.failures] == ["L00a"]
    patients = {row["patient_id"] for row in rows(tmp_path / "new" / "local_validation.csv")}
    assert len(patients) == 33 and {"L00a", "L01a", "L02a"}.isdisjoint(patients)
    old, new = PcrModel.load(small_run), PcrModel.load(tmp_path / "new")
    for name in ("clinical_baseline.json", "split.csv", "scores.csv", "run.json"):
        assert (tmp_path / "new" / name).read_bytes() == (small_run / name).read_bytes()
    one, other = (m.predict(*m.prepare(local[5]), explain=()) for m in (old, new))
    logit = np.log(one.score.score / (1 - one.score.score))
    slope, shift = fitted.recalibration.slope, fitted.recalibration.intercept
    assert other.score.score == pytest.approx(1 / (1 + np.exp(-(slope * logit + shift))), rel=1e-6)
    assert other.score.threshold == fitted.threshold and "SITE-L" in other.score.calibration
    assert one.weights["pcr_pathology"] == other.weights["pcr_pathology"]
    # Its own patients would flatter it.
    text = one_line(lambda: recalibrate_pcr(pictures, small_run, "SITE-A", tmp_path / "x"))
    assert "in the run's own training" in text and not (tmp_path / "x").exists()
    assert "no cohort" in one_line(lambda: recalibrate_pcr(local, small_run, "Z", tmp_path / "x"))
