"""The cascade on a prepared case: probabilities, class, map, and what it refuses."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dce_volumes import TIMES, dce, only

from breastpredict.dicom import read_study
from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2 import Her2Model, PreparedCase, prepare_case
from breastpredict.imaging import Geometry
from breastpredict.phantom import write_dce

torch = pytest.importorskip("torch")

from breastpredict.models import (  # noqa: E402
    VIT_REDUCED,
    build_vit,
    load_bundle,
    predict_with_map,
    save_bundle,
)

TASKS = {
    "her2_zero_vs_rest": ("low_or_positive", "zero"),
    "her2_low_vs_positive": ("low", "positive"),
}
TRAINING = {
    "plane": {"kind": "category", "values": ["axial"]},
    "pixel_spacing_mm": {"kind": "number", "min": 0.9, "max": 1.3},
}
LESION = (slice(3, 6), slice(14, 26), slice(18, 32))


def save_run(folder: Path, thresholds: tuple[float, float] = (0.5, 0.5), **changes: Any) -> Path:
    """A run of two random networks."""
    for seed, (task, (positive, negative)) in enumerate(TASKS.items()):
        torch.manual_seed(seed)
        model = build_vit(**VIT_REDUCED)
        with torch.no_grad():  # a fresh head says 0.5 for everything
            model.head.weight.normal_(0, 0.5)
        metadata = {
            "task": task,
            "positive_class": positive,
            "negative_class": negative,
            "threshold": thresholds[seed],
            "prevalence": 0.5,
            "calibration": {"probability": seed == 0},
            "synthetic": True,
            "training_data": TRAINING,
            "counts": {},
            "seed": seed,
        }
        save_bundle(folder / task, model, network=VIT_REDUCED, metadata=metadata | changes)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles."""
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(run: Path) -> Her2Model:
    """Loaded once."""
    return Her2Model.load(run)


def make_case(root: Path, seed: int = 0) -> PreparedCase:
    """A study with a mask, prepared."""
    phases = dce(3, size=(48, 40, 9), lesion=LESION, seed=seed)
    write_dce(root / "study", phases, layout="siemens", times_s=TIMES[:3])
    mask = np.zeros((9, 40, 48), np.uint8)
    mask[LESION] = 1
    geometry = only(read_study(root / "study")).phases[0].geometry
    sitk.WriteImage(geometry.to_image(mask), str(root / "mask.nrrd"))
    return prepare_case(root / "study", image_size=64, segmentation=root / "mask.nrrd")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PreparedCase:
    return make_case(tmp_path_factory.mktemp("case"))


# --- The cascade ---


def test_three_probabilities_that_sum_to_one(model: Her2Model, case: PreparedCase) -> None:
    found = model.predict(case)
    p1, p2 = (score.score for score in found.scores)
    assert set(found.probabilities) == {"zero", "low", "positive"}
    assert abs(sum(found.probabilities.values()) - 1) < 1e-12
    assert found.probabilities["zero"] == pytest.approx(1 - p1)
    assert found.probabilities["low"] == pytest.approx(p1 * p2)
    assert found.probabilities["positive"] == pytest.approx(p1 * (1 - p2))


def test_the_scores_are_the_networks_and_say_what_they_point_to(
    model: Her2Model, case: PreparedCase, run: Path
) -> None:
    found = model.predict(case)
    for score, (task, (positive, _)) in zip(found.scores, TASKS.items(), strict=True):
        bundle = load_bundle(run / task)
        with torch.inference_mode():
            logit = float(bundle.model(torch.from_numpy(case.image)[None]))
        assert score.score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
        assert (score.task, score.points_to) == (task, positive)
        assert found.weights[task] == bundle.sha256
    assert [score.calibrated for score in found.scores] == [True, False]
    assert found.synthetic


@pytest.mark.parametrize(("first", "second"), itertools.product(("below", "at", "above"), repeat=2))
def test_the_class_by_both_thresholds(
    model: Her2Model, case: PreparedCase, tmp_path: Path, first: str, second: str
) -> None:
    """Zero below the first threshold; else low at or above the second; else positive."""
    known = [score.score for score in model.predict(case, explain=None).scores]
    shift = {"below": 1e-3, "at": 0.0, "above": -1e-3}
    limits = (known[0] + shift[first], known[1] + shift[second])
    found = Her2Model.load(save_run(tmp_path, limits)).predict(case)
    expected = "zero" if first == "below" else ("positive" if second == "below" else "low")
    assert found.predicted_class == expected
    assert [s.above for s in found.scores] == [first != "below", second != "below"]
    deciding = "her2_zero_vs_rest" if expected == "zero" else "her2_low_vs_positive"
    assert found.map_task == deciding


def test_the_same_input_gives_the_same_output(run: Path, case: PreparedCase) -> None:
    a, b = (Her2Model.load(run).predict(case) for _ in range(2))
    assert a.probabilities == b.probabilities
    assert a.map is not None and b.map is not None
    np.testing.assert_array_equal(sitk.GetArrayFromImage(a.map), sitk.GetArrayFromImage(b.map))


def test_lesion_pixels_move_the_scores(
    model: Her2Model, case: PreparedCase, tmp_path: Path
) -> None:
    """The lesions of two cases exchanged; everything around them stays."""
    other = make_case(tmp_path, seed=99)
    inside = np.zeros((64, 64), bool)
    inside[20:44, 20:44] = True
    for mine, theirs in ((case, other), (other, case)):
        swapped = replace(mine, image=np.where(inside, theirs.image, mine.image))
        before, after = (model.predict(c, explain=None).scores for c in (mine, swapped))
        assert all(abs(a.score - b.score) > 1e-6 for a, b in zip(before, after, strict=True))


# --- The map ---


@pytest.mark.parametrize("method", ["attention", "evidence", "rollout"])
def test_the_map_lies_in_the_region_and_nowhere_else(
    model: Her2Model, case: PreparedCase, method: Any
) -> None:
    found = model.predict(case, explain=method)
    assert found.map is not None and found.map_method == method
    k = case.slice.index
    assert Geometry.from_image(found.map).same_grid(case.phase.geometry.slab(k, k + 1))
    assert found.map.GetPixelID() == sitk.sitkFloat32
    values = sitk.GetArrayFromImage(found.map)[0]
    j, i = np.indices(values.shape)
    spacing = case.phase.geometry.spacing
    offset = np.maximum(
        abs(i - case.roi.center_ij[0]) * spacing[0], abs(j - case.roi.center_ij[1]) * spacing[1]
    )
    half = case.roi.side_mm / 2
    assert not values[offset > half + 1e-6].any()
    assert np.isfinite(values).all() and values.min() >= 0
    if method != "evidence":  # attention is never quite zero
        assert (values[offset < half - 1e-6] > 0).all()
    assert found.class_agnostic == (method != "evidence")
    assert ("class-agnostic" in found.map_label) == found.class_agnostic


def test_the_map_is_the_deciding_networks(model: Her2Model, case: PreparedCase, run: Path) -> None:
    found = model.predict(case, explain="attention")
    bundle = load_bundle(run / found.map_task)
    direct = predict_with_map(bundle.model, torch.from_numpy(case.image)[None], "attention")
    assert found.map is not None and direct.map is not None
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(found.map),
        sitk.GetArrayFromImage(case.roi.place(direct.map)),
        atol=1e-6,
    )


def test_no_map_where_none_is_asked_for(model: Her2Model, case: PreparedCase) -> None:
    with_map, without = (model.predict(case, explain=e) for e in ("attention", None))
    assert without.map is None and without.map_task == ""
    for name, value in with_map.probabilities.items():
        assert without.probabilities[name] == pytest.approx(value, abs=1e-6)


# --- Gates ---


def test_a_gate_refuses_and_an_override_is_recorded(model: Her2Model, case: PreparedCase) -> None:
    coronal = replace(case, features=case.features | {"plane": "coronal"})
    with pytest.raises(GateRefusal) as caught:
        model.predict(coronal)
    assert caught.value.gate == "plane"
    found = model.predict(coronal, override_gates=["plane"])
    assert len(found.overrides) == 1 and "coronal" in found.overrides[0]
    assert model.predict(case).overrides == ()
    with pytest.raises(InputError, match="no gate"):
        model.predict(case, override_gates=["colour"])


# --- Bundles that are not what they were ---


def test_tampered_weights(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    weights = folder / "her2_low_vs_positive" / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="do not match the hash") as caught:
        Her2Model.load(folder)
    assert "\n" not in str(caught.value) and "model.safetensors" in str(caught.value)


def test_a_bundle_in_the_place_of_the_other(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for mine, theirs in itertools.permutations(TASKS):
        shutil.copytree(run / theirs, folder / mine)
    with pytest.raises(InputError, match="not of"):
        Her2Model.load(folder)


def test_a_bundle_that_points_to_another_class(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", positive_class="positive")
    with pytest.raises(InputError, match="not of"):
        Her2Model.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"breastpredict": {}}'])
def test_damaged_metadata(run: Path, tmp_path: Path, content: str) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "her2_zero_vs_rest" / "configs" / "metadata.json").write_text(content)
    with pytest.raises(InputError, match=r"metadata\.json"):
        Her2Model.load(folder)


@pytest.mark.parametrize("threshold", [None, "high", True, -0.1, 1.5])
def test_impossible_thresholds(run: Path, tmp_path: Path, threshold: object) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / "her2_zero_vs_rest" / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["breastpredict"]["threshold"] = threshold
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=r"metadata\.json"):
        Her2Model.load(folder)


@pytest.mark.parametrize(
    "missing", ["", "her2_low_vs_positive", "her2_zero_vs_rest/models/model.safetensors"]
)
def test_missing_parts(run: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "run"
    if missing:
        shutil.copytree(run, folder)
        path = folder / missing
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError):
        Her2Model.load(folder)
