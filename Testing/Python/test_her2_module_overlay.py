"""The map over the phase: its values, its colours in the picture, and its place in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from cli_runs import LESION, SIZE, make_mask
from dce_volumes import TIMES, dce, only
from dicom_results import GEOMETRIES, read_map
from her2_panel import MODULE, Her2Panel, SmallCase

from breastpredict.dicom import read_study
from breastpredict.her2 import prepare_case
from breastpredict.phantom import StudyHeader, write_dce
from breastpredict.study.overlay import colour

SHAPE = SIZE[::-1]
GREY = 100
FLIP = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module", params=sorted(GEOMETRIES))
def placed_case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_run: Path
) -> SmallCase:
    """The small case in an axial, a sagittal and an oblique acquisition."""
    folder = tmp_path_factory.mktemp(request.param)
    volumes = dce(3, 1, SIZE, lesion=LESION, **GEOMETRIES[request.param])
    header = StudyHeader(patient_id=request.param)
    write_dce(folder / "study", volumes, layout="siemens", times_s=TIMES[:3], header=header)
    mask = make_mask(folder / "mask.nrrd", folder / "study")
    return SmallCase(folder / "study", mask, tiny_run)


def ras_of(case: SmallCase, *ijk: float) -> tuple[float, float, float]:
    """Where a voxel of the study is, by its DICOM headers."""
    geometry = only(read_study(case.study)).phases[1].geometry
    x, y, z = (geometry.index_to_physical(np.array(ijk, float)) * FLIP).tolist()
    return x, y, z


def drawn(her2: Her2Panel, array: np.ndarray, volume: Any = None) -> None:
    """Make the tumour these voxels of a volume; of the phase if none is given."""
    import slicer

    p = her2.parameters
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        array.astype(np.uint8), p.segmentation, p.segmentID, volume or p.early
    )


def mask_for_the_backend(her2: Her2Panel, file: Path) -> sitk.Image:
    from HER2PredictLib import tumour_nodes

    p = her2.parameters
    mask = tumour_nodes.mask_of(p.segmentation, p.segmentID, p.early)
    return sitk.ReadImage(str(tumour_nodes.write_mask(mask, file)))


def planted(her2: Her2Panel, folder: Path) -> np.ndarray:
    """A map of flat blocks on slice 4 in place of a predicted one, over a flat grey phase."""
    import slicer
    from HER2PredictLib import overlay_nodes

    p = her2.parameters
    plane = np.zeros((1, *SHAPE[1:]), np.float32)
    plane[0, 12:20, 16:26] = 0.5
    plane[0, 20:28, 16:26] = 0.35
    plane[0, 28:34, 16:26] = 0.25
    plane[0, 12:28, 26:34] = 2.0
    sitk.WriteImage(sitk.GetImageFromArray(plane), str(folder / "map.nrrd"))
    result = {
        "slice_index": 4, "map": {
            "method": "attention", "label": "Attention", "task": "t", "class_agnostic": True,
        },
        "predicted_class": "low", "phase": 2, "phase_reason": "early", "software": "0",
        "date": "2026", "synthetic_note": "", "note": "n", "weights_sha256": {"t": "ab"},
    }  # fmt: skip
    array = slicer.util.arrayFromVolume(p.early)
    array[:] = GREY
    slicer.util.arrayFromVolumeModified(p.early)
    p.early.GetDisplayNode().SetAutoWindowLevel(False)
    p.early.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    p.map = overlay_nodes.map_volume(str(folder / "map.nrrd"), p.early, result, her2.case.opened)
    her2.app.process_events()
    return plane[0]


def test_the_value_under_the_cursor_is_the_parametric_maps_at_the_same_point(
    her2: Her2Panel, placed_case: SmallCase, tmp_path: Path
) -> None:
    her2.predict(placed_case)
    dicom = read_map(her2.case.result_folder / "heatmap.dcm", tmp_path / "map")
    view = her2.app.view("Red")
    k = her2.case.result["slice_index"]
    rng = np.random.default_rng(0)
    values = []
    for i, j in [(25, 20), *zip(rng.integers(14, 36, 14), rng.integers(10, 30, 14), strict=True)]:
        ras = ras_of(placed_case, i, j, k)
        view.jump_to(ras)
        shown = view.probe(ras)
        at = dicom.TransformPhysicalPointToIndex((np.array(ras) * FLIP).tolist())
        assert shown["foreground"] == pytest.approx(dicom[at], rel=1e-6, abs=1e-9)
        values.append(shown["foreground"])
        phase = only(read_study(placed_case.study)).phases[1].read()
        assert shown["background"] == phase[int(i), int(j), int(k)]
    assert len(set(values)) > 5 and max(values) > 0
    # Only on its slice.
    beside = ras_of(placed_case, 25, 20, k + 1)
    view.jump_to(beside)
    assert view.probe(beside)["foreground"] == 0.0


def test_the_square_in_the_views_is_what_the_backend_crops(
    her2: Her2Panel, placed_case: SmallCase
) -> None:
    her2.outline(placed_case)
    her2.parameters.margin = 0.35
    roi = prepare_case(
        placed_case.study, segmentation=placed_case.mask, margin=0.35, image_size=64
    ).roi
    grid = roi.grid(8)
    wanted = [
        grid.index_to_physical(np.array([i, j, 0.0])) * FLIP
        for i in (-0.5, 7.5)
        for j in (-0.5, 7.5)
    ]
    node = her2.parameters.region
    size, place = np.array(node.GetSize()), node.GetObjectToWorldMatrix()
    found = [
        place.MultiplyPoint((x * size[0] / 2, y * size[1] / 2, 0.0, 1.0))[:3]
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert node.GetLocked()
    for name in ("Red", "Green", "Yellow"):  # all views show its slice
        ras = her2.case.region.center_ras
        to_slice = her2.app.view(name).node.GetSliceToRAS()
        normal = np.array([to_slice.GetElement(r, 2) for r in range(3)])
        origin = np.array([to_slice.GetElement(r, 3) for r in range(3)])
        assert abs(normal @ (np.array(ras) - origin)) < 1e-6


def test_the_backend_gets_the_segment_voxel_by_voxel(
    her2: Her2Panel, placed_case: SmallCase, tmp_path: Path
) -> None:
    import slicer

    her2.outline(placed_case)
    given = sitk.ReadImage(str(placed_case.mask))
    written = mask_for_the_backend(her2, tmp_path / "mask.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(given))
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(written, name)(), getattr(given, name)(), atol=1e-6)
    # Edited on a grid that is turned round, cropped and twice as fine in the slice.
    array = np.random.default_rng(1).random((5, 12, 14)) > 0.4
    fine = np.repeat(np.repeat(array, 2, axis=1), 2, axis=2)[:, :, ::-1]
    i, j, k = 10 + 13, 9, 2  # of the first voxel on the phase's grid
    matrix = np.array(slicer.util.arrayFromVTKMatrix(_ijk_to_ras(her2.parameters.early)))
    step = matrix @ np.diag([-0.5, 0.5, 1.0, 1.0])
    step[:, 3] = matrix @ [i + 0.25, j - 0.25, k, 1.0]
    other = slicer.util.addVolumeFromArray(fine.astype(np.uint8), ijkToRAS=step)
    drawn(her2, fine, other)
    expected = np.zeros(SHAPE, bool)
    expected[2:7, 9:21, 10:24] = array
    written = mask_for_the_backend(her2, tmp_path / "edited.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written) > 0, expected)


def _ijk_to_ras(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_the_region_follows_the_segment(her2: Her2Panel, small_case: SmallCase) -> None:
    her2.outline(small_case)
    before = her2.case.region.center_ras
    array = np.zeros(SHAPE, bool)
    array[7, 5:12, 30:40] = array[6, 6:10, 31:36] = True
    drawn(her2, array)
    her2.app.wait_until(lambda: her2.case.region.roi.slice_index == 7)  # when the stroke is done
    centre = her2.case.region.center_ras
    assert centre != before
    np.testing.assert_allclose(centre, ras_of(small_case, 34.5, 8, 7), atol=1e-6)
    row = her2.parameters.region.GetObjectToWorldMatrix()
    assert [row.GetElement(r, 3) for r in range(3)] == pytest.approx(centre)
    assert her2.ui.sliceLabel.text.startswith("Slice 7 (largest cross-section)")
    her2.parameters.sliceIndex = 6
    assert her2.ui.sliceLabel.text.startswith("Slice 6 (chosen)")


def test_a_phase_under_a_transform_is_refused_and_a_tumour_is_taken_where_it_is_shown(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    import slicer
    import vtk

    her2.prepare(small_case)
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    p = her2.parameters
    p.early.SetAndObserveTransformNodeID(moved.GetID())
    her2.ui.applyButton.click()
    assert her2.case.tasks.current is None
    assert "is under a transform: harden it first" in her2.ui.problemLabel.text
    assert "is under a transform" in her2.why_not("predict")
    p.early.SetAndObserveTransformNodeID(None)
    her2.settle()
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 2 * p.early.GetSpacing()[2])
    moved.SetMatrixTransformToParent(matrix)
    p.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    expected = np.zeros(SHAPE, bool)
    expected[5:8, LESION[1], LESION[2]] = True
    written = mask_for_the_backend(her2, tmp_path / "moved.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written) > 0, expected)
    her2.press("predict")
    assert her2.case.result["slice_index"] in (5, 6, 7)
    assert her2.case.region.first == 5 and not her2.ui.staleLabel.visible


def test_the_picture_shows_grey_and_colour_blended_by_the_opacity(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    her2.load(small_case.study)
    planted(her2, tmp_path)
    view, p = her2.app.view("Red"), her2.parameters
    centre = ras_of(small_case, 20, 15, 4)
    view.jump_to(centre)

    def pixel(i: float, j: float) -> np.ndarray:
        row, column = view.pixel_of(ras_of(small_case, i, j, 4))
        return view.image()[row, column].astype(float)

    outside, lowest, low, middle, high = (5, 5), (20, 31), (20, 24), (20, 15), (30, 20)
    p.threshold = 0.2
    for opacity in (0.6, 0.25, 1.0):
        p.opacity = opacity
        for place, value in ((middle, 0.25), (high, 1.0)):
            rgb, _ = colour(np.array(value))
            expected = (1 - opacity) * GREY + opacity * rgb
            np.testing.assert_allclose(pixel(*place), expected, atol=2.5)
        for place in (lowest, low, outside):  # below the threshold, and where nothing is said
            np.testing.assert_allclose(pixel(*place), GREY, atol=1)
    p.threshold = 0.3
    np.testing.assert_allclose(pixel(*middle), GREY, atol=1)
    p.threshold = 0.0
    np.testing.assert_allclose(pixel(*low), colour(np.array(0.175))[0], atol=2.5)
    np.testing.assert_allclose(pixel(*lowest), GREY, atol=1)  # of the table's transparent low end
    np.testing.assert_allclose(pixel(*outside), GREY, atol=1)
    p.colour = "Viridis"
    table = np.loadtxt(MODULE.parents[1] / "Resources/ColorTables/Viridis.csv", delimiter=",",
                       skiprows=1)  # fmt: skip
    np.testing.assert_allclose(pixel(*high), 255 * table[-1, :3], atol=2.5)


def test_the_colour_table_is_the_reports(her2: Her2Panel) -> None:
    from BreastPredictLib import overlay

    node = overlay.colour_node("Heat")
    values = np.linspace(0, 1, node.GetNumberOfColors())
    rgb, opacity = colour(values)
    shown = np.zeros((len(values), 4))
    for index, row in enumerate(shown):
        node.GetColor(index, row)
    np.testing.assert_allclose(shown[:, :3], rgb / 255, atol=1 / 255)  # it keeps bytes
    np.testing.assert_allclose(shown[:, 3], opacity, atol=1 / 255)
    assert shown[0, 3] == 0.0 and overlay.colour_node("Heat") is node
    assert overlay.colour_node("Viridis") is not node


@pytest.mark.parametrize("kind", ["mrml", "mrb"])
def test_the_map_survives_saving_and_loading_the_scene(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path, kind: str
) -> None:
    import slicer

    result = her2.predict(small_case)
    uid = her2.case.opened["study"]["study_uid"]
    p = her2.parameters
    values = slicer.util.arrayFromVolume(p.map).copy()
    names = list(p.map.GetAttributeNames())
    attributes = {name: p.map.GetAttribute(name) for name in names}
    assert attributes["BreastPredict.Label"] == result["map"]["label"]
    assert {n for n in names if "WeightsSHA256" in n} and "BreastPredict.Software" in names
    if kind == "mrml":
        endings = {"vtkMRMLSegmentationNode": ".seg.nrrd", "vtkMRMLVolumeNode": ".nrrd",
                   "vtkMRMLColorTableNode": ".ctbl"}  # fmt: skip
        for number, node in enumerate(slicer.util.getNodesByClass("vtkMRMLStorableNode")):
            ending = next((e for c, e in endings.items() if node.IsA(c)), None)
            own = not node.IsA("vtkMRMLColorNode") or "BreastPredict" in node.GetName()
            if ending and own:
                assert slicer.util.saveNode(node, str(tmp_path / f"n{number}{ending}"), {})
    assert slicer.util.saveScene(str(tmp_path / f"scene.{kind}"))
    her2.app.close_scene()
    assert p.map is None and her2.enabled() == set()
    slicer.util.loadScene(str(tmp_path / f"scene.{kind}"))

    p = her2.parameters
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(p.map), values)
    assert {name: p.map.GetAttribute(name) for name in names} == attributes
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(p.map))
    dicom = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName()
    assert hierarchy.GetItemUID(parent, dicom) == uid
    node = p.map.GetDisplayNode().GetColorNode()
    assert node.GetName() == "BreastPredict Heat" and node.GetNumberOfColors() == 256
    rgba = [0.0] * 4
    node.GetColor(0, rgba)
    assert rgba[3] == 0.0
    assert her2.ui.classLabel.text == f"HER2-{result['predicted_class']}"
    assert not her2.ui.staleLabel.visible
    # It still follows the panel, without a second table of the same name.
    p.threshold = 0.5
    assert p.map.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.5 * values.max())
    p.colour = "Viridis"
    assert p.map.GetDisplayNode().GetColorNode().GetName() == "BreastPredict Viridis"
    p.colour = "Heat"
    assert p.map.GetDisplayNode().GetColorNode() is node
    her2.press("predict")
    assert her2.case.result["probabilities"] == result["probabilities"]
