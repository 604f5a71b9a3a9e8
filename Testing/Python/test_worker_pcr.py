"""What the child process answers about pCR, spoken to as the Slicer module does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pcr_panel import PhantomList

from breastpredict.dicom import read_ultrasound
from breastpredict.errors import BreastPredictError
from breastpredict.pathology import open_slide


def ask(worker: Any, command: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = worker.wait(worker.request(command, **arguments))
    return answer


def test_the_images_it_writes_are_the_backends_own_pixels_in_place(
    lasting_worker: Any, phantom_list: PhantomList, tmp_path: Path
) -> None:
    words = phantom_list.patients[0]
    found = ask(
        lasting_worker,
        "pcr_open",
        folder=str(tmp_path),
        us0={"path": words["us0"]},
        us1={"path": words["us1"]},
        pathology=words["pathology"],
    )
    for time in ("us0", "us1"):
        image = read_ultrasound(words[time])
        written = sitk.ReadImage(found[time]["file"])
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written)[0], image.pixels)
        width, height = image.spacing_mm or (0.0, 0.0)
        x0, y0, _, _ = image.region.box
        assert written.GetOrigin() == pytest.approx((x0 * width, y0 * height, 0.0))
        assert written.GetSpacing() == pytest.approx((width, height, 1.0))
        assert found[time]["patient"]["PatientID"] == words["patient_id"]
        assert words["patient_id"] not in str({**found[time], "patient": "", "file": ""})
    with open_slide(words["pathology"]) as slide:
        size, mpp = slide.size, slide.mpp
    assert mpp is not None
    overview = sitk.ReadImage(found["pathology"]["file"])
    ends = [
        overview.TransformContinuousIndexToPhysicalPoint([-0.5, -0.5, 0.0]),
        overview.TransformContinuousIndexToPhysicalPoint(
            [overview.GetWidth() - 0.5, overview.GetHeight() - 0.5, 0.0]
        ),
    ]
    for axis in (0, 1):  # the outer corners of slide and overview fall together
        assert ends[0][axis] == pytest.approx(-0.5 * mpp[axis] / 1000)
        assert ends[1][axis] == pytest.approx((size[axis] - 0.5) * mpp[axis] / 1000)


def test_what_is_no_pair_is_said_and_shown_all_the_same(
    lasting_worker: Any, phantom_list: PhantomList, tmp_path: Path
) -> None:
    first, second = phantom_list.patients[:2]
    asked = {"us0": {"path": first["us0"]}, "us1": {"path": second["us1"]}}
    found = ask(lasting_worker, "pcr_open", folder=str(tmp_path), **asked)
    assert "different patients" in found["pair_problem"] and found["pair"] is None
    assert Path(found["us0"]["file"]).is_file() and Path(found["us1"]["file"]).is_file()


def test_a_table_comes_back_as_words(lasting_worker: Any, phantom_list: PhantomList) -> None:
    found = ask(lasting_worker, "pcr_table", table=str(phantom_list.table))
    assert found["patients"] == phantom_list.patients


@pytest.mark.parametrize(
    ("command", "change", "reason"),
    [
        ("pcr_open", {"us0": {"path": "none.dcm"}}, "none.dcm"),
        ("pcr_predict", {"explain": "tea leaves"}, "There is no explanation"),
        ("pcr_predict", {"override_gates": ["all"]}, "all"),
        ("pcr_predict", {"case": {"us0": "a.dcm"}}, "Where the tumour is on US-0"),
        ("pcr_predict", {"run": "nowhere"}, "There is no such run folder"),
        ("pcr_train", {"colour": "blue"}, "Wrong settings of the training"),
        ("pcr_train", {"margin": -1.0}, "margin"),
        ("pcr_train", {}, "too few for three sets"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    lasting_worker: Any,
    phantom_list: PhantomList,
    tmp_path: Path,
    command: str,
    change: dict[str, Any],
    reason: str,
) -> None:
    asked: dict[str, dict[str, Any]] = {
        "pcr_open": {"folder": str(tmp_path)},
        "pcr_predict": {
            "case": phantom_list.patients[0],
            "run": str(phantom_list.run),
            "out": str(tmp_path / "out"),
        },
        "pcr_train": {"cohort": str(phantom_list.table), "out": str(tmp_path / "run")},
    }
    with pytest.raises(BreastPredictError, match=reason) as caught:
        ask(lasting_worker, command, **{**asked[command], **change})
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
