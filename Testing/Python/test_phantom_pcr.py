"""The pCR phantom: what tells of the outcome and how much, and files as scanners make them."""

from __future__ import annotations

import csv
import filecmp
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from breastpredict.cli import main
from breastpredict.dicom import UltrasoundImage, read_ultrasound
from breastpredict.errors import InputError
from breastpredict.pathology import SlideRegion, open_slide, read_patches
from breastpredict.pcr import (
    PcrClinical,
    PcrPolicy,
    UltrasoundRoi,
    given_inputs,
    pcr_label,
    ultrasound_roi,
)
from breastpredict.phantom import make_pcr_phantom, plan_pcr_cohorts
from breastpredict.phantom.pcr_clinical import clinical_score
from breastpredict.phantom.pcr_plan import CasePlan
from breastpredict.phantom.pcr_tissue import render_tissue
from breastpredict.phantom.pcr_ultrasound import render_ultrasound
from breastpredict.study.pcr_cohort import read_pcr_cohort

Known = list[tuple[dict[str, str], dict[str, str]]]
Images = dict[str, UltrasoundImage]

SIZES = {"PHANTOM-A": 14, "PHANTOM-B": 2, "PHANTOM-TC2": 5}
SEED = 20


def auc(plans: list[CasePlan], score: Callable[[CasePlan], float]) -> float:
    return float(roc_auc_score([p.pcr for p in plans], [score(p) for p in plans]))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def plans() -> list[CasePlan]:
    return plan_pcr_cohorts(4000, seed=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pcr_phantom(tmp_path_factory.mktemp("pcr"), SIZES, seed=SEED, workers=1)


@pytest.fixture(scope="module")
def known(table: Path) -> Known:
    """Rows of the cohort with their truth."""
    both = rows_of(table), rows_of(table.parent / "truth.csv")
    assert [row["patient_id"] for row in both[0]] == [row["patient_id"] for row in both[1]]
    return list(zip(*both, strict=True))


@pytest.fixture(scope="module")
def images(table: Path, known: Known) -> Images:
    """What the reader makes of both examinations, by their cells in the table."""
    names = [row[time] for row, _ in known for time in ("us0", "us1")]
    return {name: read_ultrasound(table.parent / name) for name in names}


def roi_of(table: Path, row: dict[str, str], name: str) -> str:
    """The cell of a region, with masks' paths from here."""
    cell = row[f"{name}_roi"]
    if not cell.startswith("masks"):
        return cell
    return ";".join(str(table.parent / part) for part in cell.split(";"))


# --- What tells of the outcome ---------------------------------------------------------------


def test_patients_have_the_frequencies_of_the_papers_table_in_each_outcome(
    plans: list[CasePlan],
) -> None:
    # Table 1: patients with pCR of 155, and without of 441.
    printed = {
        ("subtype", "HR+/HER2-"): (22, 289), ("subtype", "TN"): (30, 48),
        ("subtype", "HR-/HER2+"): (64, 44), ("subtype", "HR+/HER2+"): (39, 60),
        ("er", "negative"): (99, 100), ("er", "low"): (13, 8), ("er", "positive"): (43, 333),
        ("pr", "+"): (43, 139), ("pr", "-"): (112, 302),
        ("regimen", "anti-HER2"): (90, 76), ("regimen", "taxane+platinum"): (8, 15),
        ("regimen", "taxane"): (2, 10), ("regimen", "anthracycline+taxane"): (55, 340),
    }  # fmt: skip
    ki67 = {True: (40.68, 19.59), False: (27.35, 19.50)}
    for pcr, total, at in ((True, 155, 0), (False, 441, 1)):
        group = [p.clinical for p in plans if p.pcr == pcr]
        assert len(group) == pytest.approx(len(plans) * total / 596, abs=2)
        for (name, value), counts in printed.items():
            share = counts[at] / total
            found = np.mean([getattr(one, name) == value for one in group])
            error = np.sqrt(share * (1 - share) / len(group))
            assert found == pytest.approx(share, abs=4 * error), (pcr, name, value)
        values = np.array([one.ki67 for one in group])
        assert values.min() >= 1 and values.max() <= 95
        assert values.mean() == pytest.approx(ki67[pcr][0], abs=4 * 19.5 / np.sqrt(len(group)))
        assert values.std() == pytest.approx(ki67[pcr][1], rel=0.08)


def test_no_clinical_variables_contradict_each_other_but_where_the_table_itself_has_them(
    plans: list[CasePlan],
) -> None:
    said = set()
    for plan in plans:
        c = plan.clinical
        assert not (c.subtype in ("HR-/HER2+", "TN") and (c.er != "negative" or c.pr == "+"))
        assert not (c.subtype in ("HR+/HER2-", "TN") and c.regimen == "anti-HER2")
        assert not (c.subtype.startswith("HR+") and c.er == "negative" and c.pr == "-")
        known = PcrClinical(c.subtype, c.er, float(c.ki67), c.regimen)  # type: ignore[arg-type]
        said |= {words.split(" (")[0] for words in known.contradictions()}
    assert said == {
        "a HER2-positive tumour",  # without anti-HER2 agents: 41 of 207 in the table
        "ER is negative and the subtype is hormone-receptor-positive",  # PR is positive
    }


def test_an_ideal_observer_needs_all_three_and_both_times(plans: list[CasePlan]) -> None:
    alone = {
        "change": auc(plans, lambda p: p.change),
        "tissue": auc(plans, lambda p: p.tissue),
        "clinical": auc(plans, lambda p: clinical_score(p.clinical)),
    }
    assert alone == pytest.approx({"change": 0.81, "tissue": 0.78, "clinical": 0.83}, abs=0.02)
    assert auc(plans, lambda p: p.logit) == pytest.approx(0.94, abs=0.015)
    # The probabilities that the formula gives are those that come true.
    chance = 1 / (1 + np.exp(-np.array([p.logit for p in plans])))
    outcome = np.array([p.pcr for p in plans])
    for low, high in ((0, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 1)):
        some = (chance >= low) & (chance < high)
        error = np.sqrt((chance[some] * (1 - chance[some])).sum()) / some.sum()
        assert outcome[some].mean() == pytest.approx(chance[some].mean(), abs=4 * error)


def test_the_change_shrinks_the_tumour_and_brightens_it(plans: list[CasePlan]) -> None:
    change = [p.change for p in plans]
    shrinks = [np.log(p.width_mm(0) / p.width_mm(1)) for p in plans]
    brightens = [p.contrast_db(1) - p.contrast_db(0) for p in plans]
    for shown in (shrinks, brightens):
        assert 0.85 < np.corrcoef(shown, change)[0, 1] < 0.97  # each with a disturbance of its own
    both = np.divide(shrinks, np.std(shrinks)) + np.divide(brightens, np.std(brightens))
    assert np.corrcoef(both, change)[0, 1] > 0.99  # the disturbances cancel


@pytest.mark.parametrize("time", [0, 1])
def test_the_tumour_at_one_time_tells_little(plans: list[CasePlan], time: int) -> None:
    seen = np.array([[np.log(p.width_mm(time)), p.contrast_db(time)] for p in plans])
    outcome = [p.pcr for p in plans]
    score = cross_val_predict(LogisticRegression(), seen, outcome, method="decision_function")
    assert roc_auc_score(outcome, score) < 0.66


@pytest.mark.parametrize("null", ["change", "tissue", "clinical"])
def test_in_a_null_phantom_one_of_the_three_tells_nothing_and_the_others_as_before(
    null: str,
) -> None:
    plans = plan_pcr_cohorts(4000, seed=2, null=null)  # type: ignore[arg-type]
    scores = {
        "change": lambda p: p.change,
        "tissue": lambda p: p.tissue,
        "clinical": lambda p: clinical_score(p.clinical),
    }
    found = {name: auc(plans, score) for name, score in scores.items()}
    assert found.pop(null) == pytest.approx(0.5, abs=0.04)
    assert min(found.values()) > 0.75
    assert 0.85 < auc(plans, lambda p: p.logit) < 0.93
    assert np.mean([p.pcr for p in plans]) == pytest.approx(155 / 596, abs=0.001)
    if null == "change":  # a tumour that has vanished must not tell either
        gone = [p.pcr for p in plans if not p.visible]
        assert np.mean(gone) == pytest.approx(155 / 596, abs=0.13)


def test_what_does_not_tell_of_the_outcome_is_dealt_alike(plans: list[CasePlan]) -> None:
    groups = [[p for p in plans if p.pcr == pcr] for pcr in (True, False)]
    for name in ("scanner", "slide", "roi", "pixels"):
        for value in {getattr(p, name) for p in plans}:
            shares = [np.mean([getattr(p, name) == value for p in group]) for group in groups]
            assert shares[0] == pytest.approx(shares[1], abs=0.01)
    for name in ("middle_width_mm", "middle_contrast_db", "posterior_db", "nests", "haematoxylin"):
        values = [np.mean([getattr(p, name) for p in group]) for group in groups]
        assert values[0] == pytest.approx(values[1], rel=0.02, abs=0.02)


def test_the_change_and_the_tissue_are_seen_at_the_reduced_networks_64_pixels(
    table: Path, known: Known, images: Images
) -> None:
    """By features that a person would write, of what the network is given."""
    seen, cells = [], []
    for row, _ in known:
        rois: dict[str, UltrasoundRoi] = {}
        for name in ("us0", "us1"):
            given = roi_of(table, row, name)
            rois[name] = ultrasound_roi(images[row[name]], given, us0=rois.get("us0"))
        rois["us0"], rois["us1"], _ = PcrPolicy().link(rois["us0"], rois["us1"])
        seen.append([darkness(roi.network_input(64)[0]) for roi in rois.values()])
        with open_slide(table.parent / row["pathology"]) as slide:
            region = row["pathology_region"]
            given_region = SlideRegion(*map(int, region.split(","))) if region else None
            red = read_patches(slide, given_region, patch=64).picture[..., 0]
        cells.append(float((red < 100).mean()))
    change, tissue = ([float(t[name]) for _, t in known] for name in ("change", "tissue"))
    before, after = np.array(seen).T

    def related(values: NDArray[np.float64]) -> float:
        return float(np.corrcoef(values, change)[0, 1])

    assert related(before - after) > 0.7
    assert abs(related(before)) < related(before - after) - 0.2
    assert related(-after) < related(before - after) - 0.05
    assert np.corrcoef(np.sqrt(cells), tissue)[0, 1] > 0.7


def darkness(crop: NDArray[np.float32]) -> float:
    """How much darker the middle is than what lies beside it, and how far that reaches."""
    smooth = gaussian_filter(crop, 1.5)
    return float(np.clip(np.percentile(smooth, 70) - smooth, 0, None)[16:48].mean())


# --- Files -----------------------------------------------------------------------------------


def test_the_cohort_is_read_as_the_table_says_with_outcomes_that_follow_from_surgery(
    table: Path, known: Known
) -> None:
    cases = read_pcr_cohort(table)

    assert {c: sum(case.cohort == c for case in cases) for c in SIZES} == SIZES
    for case in cases:
        assert given_inputs(case) == ("pathology", "us0", "us1", "clinical")
    for case, (row, _) in zip(cases, known, strict=True):
        assert case.pcr == (row["pcr"] == "1")
        assert case.pcr == pcr_label("", row["miller_payne"], row["nodes"])
        assert case.split == ("" if case.cohort == "PHANTOM-A" else "external")
        assert (case.focality == "multifocal") == (case.cohort == "PHANTOM-TC2")
        assert row["synthetic"] == "1"
    kinds = {row["pathology"].rsplit(".", 1)[1] for row, _ in known}
    assert kinds == {"tif", "svs", "dcm", "png"}
    assert {row["us0_roi"].split(":")[0][:5] for row, _ in known} == {"box", "masks"}


def test_both_examinations_are_read_with_region_spacing_side_and_dates_six_weeks_apart(
    known: Known, images: Images
) -> None:
    layouts = set()
    for row, truth in known:
        dates = []
        for name in ("us0", "us1"):
            image = images[row[name]]
            assert image.spacing_mm == pytest.approx((0.125, 0.125))
            assert (image.laterality, image.colour) == (row["laterality"], "grey")
            x0, y0, x1, y1 = image.region.box
            scan = [float(truth[f"scan_{what}"]) for what in ("x", "y", "width", "height")]
            assert x0 <= scan[0] and x1 >= scan[0] + scan[2] - 1
            assert y0 <= scan[1] and y1 >= scan[1] + scan[3] - 1
            assert image.burned_in == "YES"
            assert image.frame == (2 if image.frame_count == 3 else 1)
            dates.append(np.datetime64(f"{image.study_date[:4]}-{image.study_date[4:6]}-"
                                       f"{image.study_date[6:]}"))  # fmt: skip
            layouts.add((image.manufacturer, image.frame_count))
        assert 37 <= (dates[1] - dates[0]).astype(int) <= 49
    assert len({maker for maker, _ in layouts}) == 3
    assert {frames for _, frames in layouts} == {1, 3}


def test_nothing_that_is_written_on_the_screen_is_in_the_pixels_that_are_kept(
    table: Path, known: Known, images: Images
) -> None:
    plans = plan_pcr_cohorts(SIZES, seed=SEED)
    assert any(p.pixels == "mono" for p in plans[:4])
    for plan, (row, truth) in zip(plans, known, strict=True):
        path, image = table.parent / row["us0"], images[row["us0"]]
        x, y, width, height = (
            int(float(truth[f"scan_{what}"])) for what in ("x", "y", "width", "height")
        )
        frame = pydicom.dcmread(path).pixel_array
        frame = frame[image.frame - 1] if image.frame_count > 1 else frame
        frame = frame if frame.ndim == 2 else frame.max(axis=-1)
        around = frame.copy()
        around[y : y + height, x : x + width] = 0
        assert (around > 150).sum() > 800  # there is writing
        if plan.pixels == "mono" and plan.number <= 4:  # the scan itself, and nothing on it
            drawn = render_ultrasound(plan, 0).pixels
            assert np.array_equal(frame[y : y + height, x : x + width], drawn)
        kept = image.in_source(image.pixels)
        assert kept[: y - 8].sum() == 0  # the patient's name and ID are up there
        kept[y : y + height, x : x + width] = 0
        assert kept.max() < 60  # ringing of JPEG at the edge, no letter


def test_the_tumour_lies_where_the_truth_says_and_is_darker_than_its_surroundings(
    table: Path, known: Known, images: Images
) -> None:
    found = 0
    for row, truth in known:
        for name in ("us0", "us1"):
            if row[f"{name}_roi"] == "us0":
                assert (name, truth["us1_visible"], truth["us1_box"]) == ("us1", "0", "")
                continue
            image = images[row[name]]
            roi = ultrasound_roi(image, roi_of(table, row, name))
            box = np.array([int(n) for n in truth[f"{name}_box"].split(",")])
            middle = (box[:2] + box[2:]) / 2
            assert roi.center == pytest.approx(tuple(middle), abs=1)
            centre = np.array([float(truth[f"{name}_x"]), float(truth[f"{name}_y"])])
            assert np.abs(centre - np.array(roi.center)).max() < 0.2 * (box[2] - box[0]) + 3
            frame = image.in_source(image.pixels).astype(float)
            wide, high = box[2] - box[0], box[3] - box[1]
            x, y = (round(c) for c in roi.center)
            inside = frame[y - high // 5 : y + high // 5, x - wide // 5 : x + wide // 5].mean()
            band = frame[y - high // 5 : y + high // 5]
            left = band[:, max(box[0] - wide // 3, 0) : box[0] - 4]
            right = band[:, box[2] + 4 : box[2] + wide // 3]
            beside = np.concatenate([left, right], axis=1)
            beside = beside[beside > 0].mean()
            found += inside < beside - 8
    # All but the rare tumour that is nearly as bright as the gland or lies beside fat.
    assert found >= 2 * len(known) * 0.85


def test_a_tumour_that_has_vanished_is_looked_for_where_it_was() -> None:
    gone = next(p for p in plan_pcr_cohorts(300, seed=3) if not p.visible)
    before, after = render_ultrasound(gone, 0), render_ultrasound(gone, 1)
    assert before.lesions[0].any() and not after.lesions[0].any()
    assert np.hypot(*np.subtract(before.centre, after.centre)) * after.pixel_mm < 5
    y, x = np.nonzero(before.lesions[0])
    assert after.pixels[y, x].mean() > before.pixels[y, x].mean() + 15


def test_multifocal_patients_have_a_second_smaller_tumour_apart_from_the_first() -> None:
    for plan in plan_pcr_cohorts({"PHANTOM-TC2": 6}, seed=4):
        for time in (0, 1):
            scan = render_ultrasound(plan, time)
            main, second = scan.lesions
            assert not (main & second).any()
            if time == 0:
                assert 20 < second.sum() < 0.5 * main.sum()


def test_slides_show_stained_tissue_at_the_stated_scale_and_pass_the_gate(
    table: Path, known: Known
) -> None:
    for row, _ in known:
        with open_slide(table.parent / row["pathology"]) as slide:
            if row["pathology"].endswith("png"):
                assert slide.size == (384, 384)
            else:
                assert slide.mpp == pytest.approx((2.0, 2.0))
                assert len(slide.levels) == 3
            region = row["pathology_region"]
            given = SlideRegion(*map(int, region.split(","))) if region else None
            patches = read_patches(slide, given, patch=128)
        patches.check()
        assert patches.region.width == patches.region.height == 384


def test_at_full_size_a_slide_is_a_scan_at_20_with_a_rectangle_of_1536_pixels() -> None:
    plan = plan_pcr_cohorts(5, seed=6, size="full")[0]
    small = plan_pcr_cohorts(5, seed=6)[0]
    full, reduced = render_tissue(plan), render_tissue(small)
    assert (full.pixel_um, full.region[2:]) == (0.5, (1536, 1536))
    assert full.lymphocytes == reduced.lymphocytes  # the same tissue, scanned finer
    coarse = np.asarray(Image.fromarray(full.pixels).reduce(4), float)
    assert np.corrcoef(coarse[..., 0].ravel(), reduced.pixels[..., 0].ravel())[0, 1] > 0.8


def test_lymphocytes_are_drawn_at_the_planned_density(
    known: Known,
) -> None:
    planned = np.array([float(t["lymphocytes_per_mm2"]) for _, t in known])
    drawn = np.array([float(t["lymphocytes_drawn_per_mm2"]) for _, t in known])
    assert np.corrcoef(np.log(planned), np.log(drawn))[0, 1] > 0.93
    assert np.median(drawn / planned) == pytest.approx(1, abs=0.15)


def test_every_dicom_file_is_valid_says_that_it_is_not_real_and_has_a_uid_of_its_own(
    table: Path, dciodvfy: str
) -> None:
    files = sorted(table.parent.rglob("*.dcm"))
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    kinds: dict[tuple[str, str, str], Path] = {}
    for file, header in zip(files, headers, strict=True):
        assert header.StudyDescription.startswith("BreastPredict phantom")
        assert str(header.PatientName).startswith("Phantom^")
        kind = (
            str(header.SOPClassUID),
            str(header.PhotometricInterpretation),
            header.Manufacturer + file.stem[-1] * (header.Modality == "SM"),
        )
        kinds.setdefault(kind, file)
    assert len({header.SOPInstanceUID for header in headers}) == len(files)
    assert len({kind[0] for kind in kinds}) == 3  # US, US Multi-frame, slide microscopy
    for file in kinds.values():
        done = subprocess.run([dciodvfy, file], capture_output=True, text=True, check=False)
        errors = [li for li in (done.stdout + done.stderr).splitlines() if li.startswith("Error")]
        assert not errors, f"{file.name}: {errors}"


def test_the_same_seed_gives_the_same_bytes_in_one_process_or_two_and_another_seed_others(
    tmp_path: Path,
) -> None:
    sizes = {"PHANTOM-A": 5}
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    make_pcr_phantom(first, sizes, seed=8, workers=1)
    make_pcr_phantom(second, sizes, seed=8, workers=2)
    make_pcr_phantom(other, {"PHANTOM-A": 1}, seed=9, workers=1)
    names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert {".csv", ".dcm", ".svs", ".tif"} <= {name.suffix for name in names}
    assert any(name.parts[0] == "slides" and name.suffix == ".dcm" for name in names)
    same, different, missing = filecmp.cmpfiles(first, second, map(str, names), shallow=False)
    assert (different, missing) == ([], []) and len(same) == len(names)
    assert {p.relative_to(second) for p in second.rglob("*") if p.is_file()} == set(names)
    ids = [rows_of(folder / "COHORT.csv")[0]["patient_id"] for folder in (first, other)]
    assert ids[0] != ids[1]


def test_the_command_writes_a_null_cohort_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "cohort")
    arguments = ["phantom", "pcr", "--cases", "3", "--out", out, "--null", "tissue", "--quiet"]
    assert main(arguments) == 0
    table = Path(capsys.readouterr().out.strip())
    assert table == tmp_path / "cohort" / "COHORT.csv" and len(read_pcr_cohort(table)) == 3
    assert main([*arguments[:3], "2", *arguments[4:]]) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"null": "size"}, "no null phantom size"),
        ({"size": "huge"}, "no size huge"),
        ({"cases": {"SITE-A": 3}}, "unknown cohort SITE-A"),
        ({"cases": 0}, "at least one case"),
    ],
)
def test_impossible_cohorts_are_refused_in_words(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make_pcr_phantom(tmp_path / "out", **{"cases": 3, **change})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
