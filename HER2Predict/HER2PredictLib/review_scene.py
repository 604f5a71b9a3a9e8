"""A predicted case as a scene of its own, from the results of a batch and the study it read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from BreastPredictLib.geometry import geometry_of
from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.notes import add_notes
from BreastPredictLib.overlay import COLOURS, OPACITY, THRESHOLD, show_map
from BreastPredictLib.scene_views import show_when_opened

from . import overlay_nodes, region_nodes, result_nodes, study_nodes, tumour_nodes

if TYPE_CHECKING:
    from BreastPredictLib.review_scenes import Predicted


def cases_of(options: Any) -> Any:
    """The cases of the batch."""
    from breastpredict.cli.her2 import cases_of as found

    return found(options)


def results_of(out: Path) -> Any:
    """The results folder."""
    from breastpredict.study.results import Results

    return Results(out)


def fill(shown: Predicted) -> None:
    """Put a case into the empty scene: early phase, tumour, region, map and result.

    Raises:
        Exception: the study, or the results, are not what was predicted from, in words.
    """
    result = shown.result
    study = {"study": str(shown.case.study), "study_uid": shown.case.reading.get("study_uid")}
    acquisition = {**study, "acquisition": result["acquisition"]}
    opened = {
        "study": {"study_uid": f"{shown.key}-study", "modality": "MR"},
        "patient": shown.patient,
    }
    loaded = shown.ask(
        "load", **acquisition, phase=result["phase"], folder=str(shown.scratch), compare=False
    )
    loaded["chosen"]["instance_uids"] = []  # UIDs are identifiers too
    nodes = study_nodes.load_volumes(loaded, opened, result["acquisition"])
    early = nodes["chosen"]

    segmentation, segment = tumour_nodes.tumour_segmentation(
        None, early, opened, result["laterality"]
    )
    outline = shown.ask(
        "import_mask",
        **acquisition,
        mask=str(_one_of(shown.folder, "segmentation")),
        file=str(shown.scratch / "tumour.nrrd"),
    )
    tumour_nodes.set_mask(segmentation, segment, early, outline["file"])
    region = _region(shown, tumour_nodes.mask_of(segmentation, segment, early))
    put_under_study(region_nodes.show_region(None, region), opened)

    table = result_nodes.result_table(result, opened)
    result_nodes.result_chart(table)
    heat = None
    if result["map"] is not None:
        file = _map_file(shown, geometry_of(early))
        heat = overlay_nodes.map_volume(file, early, result, opened)
        show_map(heat, COLOURS[0], THRESHOLD)
        segmentation.GetDisplayNode().SetVisibility2DFill(False)  # it would hide the map
    add_notes(
        [f"HER2-{result['predicted_class']}", *result_nodes.notes_of(result)], shown.key, opened
    )
    for view in ("Red", "Green", "Yellow"):
        show_when_opened(view, early, heat, OPACITY, region.center_ras)


def _one_of(folder: Path, name: str) -> Path:
    """A result as DICOM, or as a volume where the study was none."""
    dicom = folder / f"{name}.dcm"
    return dicom if dicom.is_file() else folder / f"{name}.nrrd"


def _region(shown: Predicted, mask: Any) -> region_nodes.Region:
    """The square that the networks saw, by the same rule."""
    from breastpredict.errors import InputError
    from breastpredict.her2 import describe_run
    from breastpredict.her2.roi_policy import RoiPolicy

    result = shown.result
    trained_on = describe_run(shown.run)["input"]
    region = region_nodes.region_of(
        mask,
        RoiPolicy(trained_on["roi"], trained_on["margin"]),
        result["slice_index"],
        result["laterality"],
    )
    told = [*result["roi"]["center_ij"], result["roi"]["side_mm"]]
    found = [*region.roi.center_ij, region.roi.side_mm]
    if any(abs(one - other) > 1e-3 for one, other in zip(told, found, strict=True)):
        raise InputError("The region is not the one that was predicted from")
    return region


def _map_file(shown: Predicted, grid: Any) -> str:
    """The map's slice as a volume, for `overlay_nodes.map_volume`."""
    import SimpleITK as sitk

    from breastpredict.dicom import read_parametric_map
    from breastpredict.errors import InputError
    from breastpredict.imaging import Geometry

    file = _one_of(shown.folder, "heatmap")
    values = sitk.ReadImage(str(file)) if file.suffix == ".nrrd" else read_parametric_map(file)
    if grid.find_slab(Geometry.from_image(values)) != shown.result["slice_index"]:
        raise InputError("The map does not lie on its slice of the phase")
    written = shown.scratch / "map.nrrd"
    sitk.WriteImage(values, str(written), False)
    return str(written)
