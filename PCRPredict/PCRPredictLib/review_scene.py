"""A predicted patient as a scene of its own, from the results of a batch and the images it read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.notes import add_notes
from BreastPredictLib.overlay import COLOURS, OPACITY, THRESHOLD, show_map
from BreastPredictLib.scene_views import show_when_opened

from . import image_nodes, pathology_nodes, result_nodes, square_nodes
from .reading import TIMES, TITLES
from .regions import COLOURS as SQUARE_COLOURS
from .regions import VIEWS

if TYPE_CHECKING:
    from BreastPredictLib.review_scenes import Predicted


def cases_of(options: Any) -> Any:
    """The cases of the batch."""
    from breastpredict.cli.pcr import cases_of as found

    return found(options)


def results_of(out: Path) -> Any:
    """The results folder."""
    from breastpredict.study.pcr_batch import pcr_results

    return pcr_results(out)


def fill(shown: Predicted) -> None:
    """Put a patient into the empty scene: images, squares, maps and result.

    Raises:
        Exception: the images, or the results, are not what was predicted from, in words.
    """
    case, result = shown.case, shown.result
    opened = _nobody(shown, shown.ask("pcr_open", **_asked(shown)))
    nodes = SimpleNamespace(us0Image=None, us1Image=None, overview=None)
    image_nodes.show_images(nodes, opened)
    images = {name: getattr(nodes, held) for name, held in image_nodes.IMAGES.items()}
    for time in TIMES:
        told = result["ultrasound"].get(time)
        if told is not None and images[time] is not None:
            box = tuple(told["box"])
            name = f"Square on {TITLES[time]}"
            square = square_nodes.show_box(
                None, images[time], box, name, SQUARE_COLOURS[time], VIEWS[time]
            )
            square.SetLocked(True)
            put_under_study(square, image_nodes.study_of(opened, time))
    if result["pathology"] is not None and images["pathology"] is not None:
        region = tuple(result["pathology"]["region"])
        rectangle = pathology_nodes.show_rectangle(
            None, images["pathology"], region, VIEWS["pathology"]
        )
        rectangle.SetLocked(True)
        put_under_study(rectangle, image_nodes.study_of(opened, "pathology"))
    maps = image_nodes.add_maps(shown.folder, result, opened)
    for heat in maps:
        show_map(heat, COLOURS[0], THRESHOLD)
    result_nodes.result_chart(result_nodes.result_table(result, opened))
    study = image_nodes.study_of(opened, "us1" if opened["us1"] else "us0")
    add_notes(_notes(result, bool(case.us0 or case.us1)), shown.key, study)
    method = result["maps"][0]["method"] if result["maps"] else ""
    for name, image in images.items():
        if image is not None:
            heat = image_nodes.map_of(maps, name, method)
            show_when_opened(VIEWS[name], image, heat, OPACITY, orientation="Axial")


def _asked(shown: Predicted) -> dict[str, Any]:
    """What the child process is to read."""
    case = shown.case
    asked: dict[str, Any] = {
        "folder": str(shown.scratch),
        "pathology": None if case.pathology is None else str(case.pathology),
        "mpp": case.pathology_mpp,
        "laterality": case.laterality,
    }
    for time in TIMES:
        source = getattr(case, time)
        if source is not None:
            asked[time] = {
                "path": str(source.path),
                "frame": source.frame,
                "region": source.region,
                "date": source.date,
            }
    return asked


def _nobody(shown: Predicted, opened: dict[str, Any]) -> dict[str, Any]:
    """The answer to ``pcr_open`` without what tells whose images they are.

    UIDs are identifiers too. Warnings may name files; those that hold are in result.json.
    """
    for time in TIMES:
        if opened[time] is not None:
            opened[time].update(
                patient=shown.patient,
                study_uid=f"{shown.key}-{time}",
                instance_uid="",
                warnings=[],
            )
    if opened["pathology"] is not None:
        opened["pathology"].update(
            study_uid=f"{shown.key}-biopsy", patient_id=shown.key, warnings=[]
        )
    return opened


def _notes(result: dict[str, Any], ultrasound: bool) -> list[str]:
    expected = _("Complete response expected")
    not_expected = _("Complete response not expected")
    notes = [expected if result["expected"] else not_expected]
    if ultrasound:
        notes.append(_("Look at the images before you pass them on: writing in them may remain."))
    return [*notes, *result_nodes.notes_of(result)]
