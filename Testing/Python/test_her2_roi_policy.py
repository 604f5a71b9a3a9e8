"""What of the slice the network sees: chosen in training, written down, repeated in predicting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dce_volumes import TIMES, dce, only

from breastpredict.dicom import read_study
from breastpredict.errors import InputError
from breastpredict.her2 import Her2Model, RoiPolicy, describe_run, prepare_case
from breastpredict.imaging import BoxedMask, Geometry, SquareROI, normalise
from breastpredict.phantom import make_her2_phantom, write_dce

LESION = (slice(3, 6), slice(14, 26), slice(18, 32))
SIZE = 64


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study and its mask."""
    root = tmp_path_factory.mktemp("study")
    write_dce(
        root / "s", dce(3, size=(48, 40, 9), lesion=LESION), layout="siemens", times_s=TIMES[:3]
    )
    mask = np.zeros((9, 40, 48), np.uint8)
    mask[LESION] = 1
    geometry = only(read_study(root / "s")).phases[0].geometry
    sitk.WriteImage(geometry.to_image(mask), str(root / "mask.nrrd"))
    return root / "s", root / "mask.nrrd"


def prepared(study: tuple[Path, Path], **policy: Any) -> Any:
    return prepare_case(study[0], image_size=SIZE, segmentation=study[1], **policy)


def test_the_default_is_the_square_with_its_surroundings(study: tuple[Path, Path]) -> None:
    case = prepared(study)
    assert case.policy == RoiPolicy("square", 0.2)
    assert case.roi == SquareROI.around(case.mask, case.slice.index, 0.2)
    direct = normalise(case.roi.extract(case.slice_image, SIZE, outside=np.nan))
    assert np.array_equal(case.image[0], direct)


def test_a_masked_region_shows_the_tumour_alone(study: tuple[Path, Path]) -> None:
    square, masked = prepared(study), prepared(study, roi="masked")
    k = masked.slice.index
    inside = masked.roi.extract(masked.mask.to_image(k, k + 1), SIZE) >= 0.5
    assert masked.roi == square.roi and 0.1 < inside.mean() < 0.9
    assert (masked.image[0][~inside] == -1).all()
    pixels = square.roi.extract(square.slice_image, SIZE)[inside]
    low, high = np.percentile(pixels, [1, 99])  # of the tumour, not of what is around it
    wanted = np.clip((pixels - low) / (high - low), 0, 1) * 2 - 1
    assert np.allclose(masked.image[0][inside], wanted, atol=1e-5)
    assert masked.features == square.features  # the gates look at the image, whatever is masked


def lesion(size: tuple[int, int, int], spacing: float, i: int, direction: Any = None) -> BoxedMask:
    geometry = Geometry(
        size, (spacing, spacing, 3.0), (0.0, 0.0, 0.0), direction or (1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    array = np.zeros(size[::-1], np.uint8)
    array[2, 10:14, i : i + 4] = 1
    return BoxedMask.of_array(array, geometry)


@pytest.mark.parametrize(("i", "half"), [(10, (-0.5, 79.5)), (120, (79.5, 159.5))])
def test_the_whole_breast_is_the_tumours_half_of_a_view_of_both(
    i: int, half: tuple[float, float]
) -> None:
    mask = lesion((160, 120, 5), 2.0, i)  # 320 mm wide
    region = RoiPolicy("breast").region(mask, 2)
    assert region.center_ij == (sum(half) / 2, 59.5) and region.side_mm == 240
    mirrored = lesion((160, 120, 5), 2.0, i, (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    assert RoiPolicy("breast").region(mirrored, 2).center_ij == region.center_ij


@pytest.mark.parametrize(
    ("mask", "laterality"),
    [
        (lesion((160, 120, 5), 2.0, 10), "L"),  # said to be of one breast
        (lesion((160, 120, 5), 1.2, 10), None),  # 192 mm: no room for two
        (lesion((160, 120, 5), 2.0, 10, (0, 0, 1, 1, 0, 0, 0, -1, 0)), None),  # sagittal
    ],
)
def test_the_whole_slice_is_shown_where_it_holds_one_breast(
    mask: BoxedMask, laterality: str | None
) -> None:
    region = RoiPolicy("breast").region(mask, 2, laterality)
    assert region.center_ij == (79.5, 59.5)
    assert region.side_mm == 160 * mask.geometry.spacing[0]


@pytest.mark.parametrize(
    "given", [{"roi": "round"}, {"margin": -0.1}, {"margin": 9}, {"margin": float("nan")}]
)
def test_a_region_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        RoiPolicy(**given)


# --- From training to predicting ---


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run trained on masked regions by the command line, and its cohort."""
    pytest.importorskip("torch")
    from breastpredict.cli import main

    root = tmp_path_factory.mktemp("masked")
    table = make_her2_phantom(
        root / "c", {"SITE-A": 24}, seed=1, matrix=48, slices=8, phases=2, workers=1
    )
    options = "--network reduced --epochs 1 --device cpu --roi masked --margin 0.4 --quiet "
    options += "--balance sampler --no-flips --rotation 5 --gain 0.2 --offset 0.3 --noise 0"
    assert main(["her2", "train", str(table), "--out", str(root / "run"), *options.split()]) == 0
    return root / "run", table


def test_the_choices_of_the_training_are_in_the_bundle(masked_run: tuple[Path, Path]) -> None:
    for task in ("her2_zero_vs_rest", "her2_low_vs_positive"):
        text = (masked_run[0] / task / "configs" / "metadata.json").read_text()
        block = json.loads(text)["breastpredict"]
        assert block["input"] == {"roi": "masked", "margin": 0.4}
        wanted = {"balance": "sampler", "flips": False, "rotation_deg": 5, "gain": 0.2}
        assert {**block["config"], **wanted, "offset": 0.3, "noise": 0} == block["config"]
    assert describe_run(masked_run[0])["input"] == {"roi": "masked", "margin": 0.4}


def test_predicting_shows_the_network_what_it_was_trained_on(
    masked_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from breastpredict.cli import main
    from breastpredict.study import read_cohort

    run, table = masked_run
    case = read_cohort(table)[0]
    model = Her2Model.load(run)
    same = prepare_case(
        case.study, image_size=SIZE, segmentation=case.segmentation, roi="masked", margin=0.4
    )
    found = model.prepare(case.study, segmentation=case.segmentation)
    assert np.array_equal(found.image, same.image)
    wanted = [score.score for score in model.predict(same, None).scores]

    common = ["--model", str(run), "--explain", "none", "--quiet"]
    arguments = ["her2", "predict", str(case.study), "--segmentation", str(case.segmentation)]
    out = ["--out", str(tmp_path / "one"), "--json"]
    assert main([*arguments, *common, *out]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [score["score"] for score in result["scores"]] == wanted and not result["overrides"]

    assert main(["her2", "batch", str(table), *common, "--out", str(tmp_path / "many")]) == 0
    first = (tmp_path / "many" / "predictions.csv").read_text().splitlines()[1].split(",")
    assert repr(wanted[0]) in first and repr(wanted[1]) in first

    capsys.readouterr()
    out = ["--out", str(tmp_path / "wide"), "--json", "--margin", "1"]
    assert main([*arguments, *common, *out]) == 0
    result = json.loads(capsys.readouterr().out)
    assert "margin was set to 1 by hand" in result["overrides"][0]


def test_a_case_prepared_for_another_kind_of_model_is_refused(
    masked_run: tuple[Path, Path], study: tuple[Path, Path]
) -> None:
    with pytest.raises(InputError, match="trained on"):
        Her2Model.load(masked_run[0]).predict(prepared(study))


def test_two_bundles_of_different_regions_are_no_run(
    masked_run: tuple[Path, Path], tmp_path: Path
) -> None:
    import shutil

    run = Path(shutil.copytree(masked_run[0], tmp_path / "run"))
    path = run / "her2_low_vs_positive" / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    for wrong, message in (
        ({"roi": "square", "margin": 0.4}, "different regions"),
        ({"roi": "round"}, "roi is 'round'"),
        ({"shape": 1}, "does not know"),
    ):
        metadata["breastpredict"]["input"] = wrong
        path.write_text(json.dumps(metadata))
        with pytest.raises(InputError, match=message):
            Her2Model.load(run)


def test_crops_of_another_region_are_not_taken_from_the_cache(
    masked_run: tuple[Path, Path], tmp_path: Path
) -> None:
    from breastpredict.her2.train_cache import crop_of
    from breastpredict.study import read_cohort

    case = replace(read_cohort(masked_run[1])[0])
    crops = [crop_of(case, tmp_path, 64, RoiPolicy(roi)).image for roi in ("square", "masked")]
    assert not np.array_equal(*crops)


# --- The model card says it ---


def test_the_card_tells_what_the_run_recorded(masked_run: tuple[Path, Path]) -> None:
    folder = masked_run[0] / "her2_zero_vs_rest"
    card = (folder / "docs" / "README.md").read_text()
    block = json.loads((folder / "configs" / "metadata.json").read_text())["breastpredict"]
    assert "margin of 0.4 of its side, all but the tumour blank" in card
    for heading in ("Intended use", "Not for", "Training data", "Performance", "Limits", "Files"):
        assert heading in card
    for name, counts in block["counts"].items():
        assert f"| {name} |" in card
        assert f"| {counts['positive']} | {counts['negative']} |" in card
    sites = block["sites"]["SITE-A"]
    assert sum(sites.values()) == 24
    assert f"| SITE-A | {sites['low']} | {sites['positive']} | {sites['zero']} |" in card
    for name, found in block["metrics"].items():
        area = found["auc"]
        numbers = f"{area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
        assert f"| {name} | {found['n']} | {numbers} |" in card
    assert str(block["threshold"]) in card and block["threshold_rule"] in card
    assert block["weights_sha256"] in card and "sha256sum --check" in card
    held = sum(block["counts"]["validation"].values())
    assert f"Held out were {held} patients" in card and "one site" in card
    assert "synthetic" in card and "no probability" in card
    assert "PHANTOM" not in card


def test_the_learning_curve_is_a_table_and_a_figure(masked_run: tuple[Path, Path]) -> None:
    pytest.importorskip("matplotlib")
    run = masked_run[0]
    made = run / "training" / "her2_zero_vs_rest"
    lines = (made / "learning_curve.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss,tuning_loss,tuning_auc,smoothed_tuning_auc")
    assert len(lines) == 2 and lines[1].endswith(",1")
    docs = run / "her2_zero_vs_rest" / "docs"
    for name in ("learning_curve.csv", "learning_curve.svg"):
        assert (docs / name).read_bytes() == (made / name).read_bytes()
    assert "tuning AUC" in (docs / "learning_curve.svg").read_text()
    assert "](learning_curve.svg)" in (docs / "README.md").read_text()
