"""The maps of a pCR case lie on the pixels and the glass that they are of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pcr_predictions import Done
from pcr_runs import SIZE, PcrTrained
from scipy.ndimage import map_coordinates

from breastpredict.pcr import PcrModel

pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
@pytest.mark.parametrize("name", ["us0", "us1"])
def test_an_ultrasound_map_lies_on_the_pixels_of_the_source_frame(
    name: str, method: str, pcr_done: Done
) -> None:
    roi, values = pcr_done.prediction.prepared.rois[name], pcr_done.map_of(method, name)
    image = sitk.ReadImage(str(pcr_done.folder / "maps" / f"{name}_{method}.nrrd"))
    source = pydicom.dcmread(getattr(pcr_done.case, name).path, stop_before_pixels=True)
    assert image.GetSize() == (source.Columns, source.Rows, 1)
    region = source.SequenceOfUltrasoundRegions[0]
    assert image.GetSpacing()[:2] == pytest.approx(
        (region.PhysicalDeltaX * 10, region.PhysicalDeltaY * 10)
    )
    assert image.GetOrigin() == (0, 0, 0)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    placed = sitk.GetArrayFromImage(image)[0]
    # Every pixel by itself, by the region's own inverse and a linear interpolation.
    y, x = np.indices(placed.shape)
    grid = roi.from_source(np.stack([x, y], axis=-1), SIZE)
    inside = ((grid >= 0) & (grid <= SIZE - 1)).all(axis=-1)
    left, top, right, bottom = roi.image.region.box
    inside &= (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    expected = map_coordinates(values, [grid[..., 1], grid[..., 0]], order=1, mode="nearest")
    scale = float(np.abs(values).max())
    assert scale > 0 and inside.sum() > 1000
    np.testing.assert_allclose(placed[inside], expected[inside], atol=1e-4 * scale)
    x0, y0, x1, y1 = roi.box
    outside = (x < x0 - 1) | (x > x1 + 1) | (y < y0 - 1) | (y > y1 + 1)
    assert not placed[outside].any()


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_a_map_of_the_biopsy_lies_on_its_rectangle_in_mm_from_the_slides_first_pixel(
    method: str, pcr_done: Done
) -> None:
    patches = pcr_done.prediction.prepared.pathology
    assert patches is not None and patches.mpp is not None
    image = sitk.ReadImage(str(pcr_done.folder / "maps" / f"pathology_{method}.nrrd"))
    stitched = patches.stitch(pcr_done.map_of(method, "pathology"))
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], stitched)
    for column, row in ((0, 0), (3 * SIZE - 1, 0), (17, 101)):
        on_slide = patches.to_source(np.array([[column, row]]))[0] * np.array(patches.mpp) / 1000
        assert image.TransformIndexToPhysicalPoint((column, row, 0))[:2] == pytest.approx(on_slide)


@pytest.mark.parametrize(("file", "method"), [("heatmap", "gradcam"), ("occlusion", "occlusion")])
def test_a_dicom_map_lies_on_the_glass_where_its_rectangle_lies(
    file: str, method: str, pcr_done: Done
) -> None:
    found = pydicom.dcmread(pcr_done.folder / f"{file}.dcm")
    slide = pydicom.dcmread(pcr_done.case.pathology, stop_before_pixels=True)  # type: ignore[arg-type]
    patches = pcr_done.prediction.prepared.pathology
    assert patches is not None
    stitched = patches.stitch(pcr_done.map_of(method, "pathology"))
    assert np.array_equal(found.pixel_array, stitched)
    assert found.FrameOfReferenceUID == slide.FrameOfReferenceUID
    region = patches.region
    ends = np.array(
        [[region.x, region.y], [region.x + region.width, region.y + region.height]], float
    )
    of_map = hd.spatial.ImageToReferenceTransformer.for_image(found, frame_number=1)
    of_slide = hd.spatial.ImageToReferenceTransformer.for_image(slide, for_total_pixel_matrix=True)
    # The slide is the largest image of its pyramid, whichever file was named.
    assert (slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows) == patches.slide_size
    corners = of_map(np.array([[0.0, 0.0], [stitched.shape[1], stitched.shape[0]]]))
    assert np.allclose(corners, of_slide(ends), atol=1e-4)


def test_maps_are_not_called_verified_before_the_bundle_is(
    pcr_done: Done, pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(pcr_trained.run, tmp_path / "run"))
    path = run / "pcr_ultrasound" / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    content["breastpredict"]["pointing"] = {"gradcam": {"passed": True}, "occlusion": {"passed": 1}}
    path.write_text(json.dumps(content))
    model = PcrModel.load(run)
    found = model.predict(*model.prepare(pcr_done.case, "pcr_ultrasound"))
    assert [(m.method, m.verified) for m in found.maps] == [("gradcam", True), ("occlusion", False)]
    assert "not verified" not in found.maps[0].title and "not verified" in found.maps[1].title
    assert found.unused == ("pathology",)
