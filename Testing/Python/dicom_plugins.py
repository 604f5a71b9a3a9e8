"""The DICOM browser as a user meets it: import a folder, look at what is offered, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ultrasound_screens import dataset, fan, region, save, screen


def import_folder(folder: Path) -> list[list[str]]:
    """Put a folder into the DICOM database; the files of each of its new series."""
    import slicer
    from DICOMLib import DICOMUtils

    before = set(DICOMUtils.allSeriesUIDsInDatabase())
    assert DICOMUtils.importDicom(str(folder), slicer.dicomDatabase)
    new = [uid for uid in DICOMUtils.allSeriesUIDsInDatabase() if uid not in before]
    return [list(slicer.dicomDatabase.filesForSeries(uid)) for uid in new]


def offered(file_lists: list[list[str]], plugin: str) -> list[Any]:
    """What a registered plugin offers for the files."""
    from DICOMLib import DICOMUtils

    found, _ = DICOMUtils.getLoadablesFromFileLists(file_lists, [plugin])
    return [loadable for loadables in found.values() for loadable in loadables]


def load(
    file_lists: list[list[str]], plugins: list[str] | None = None
) -> tuple[list[Any], list[str]]:
    """Load what the browser selects by itself; the nodes that came, and the messages."""
    import slicer
    from DICOMLib import DICOMUtils

    messages: list[str] = []
    found, _ = DICOMUtils.getLoadablesFromFileLists(file_lists, plugins, messages)
    DICOMUtils.selectHighestConfidenceLoadables(found)
    ids = DICOMUtils.loadLoadables(found, messages)
    return [slicer.mrmlScene.GetNodeByID(each) for each in ids], messages


def register_scalar_volumes() -> None:
    """A plugin as confident as Slicer's own for scalar volumes: it offers every series."""
    import slicer
    from DICOMLib import DICOMLoadable, DICOMPlugin

    class ScalarVolumes(DICOMPlugin):
        def examineFiles(self, files: list[str]) -> list[Any]:
            made = DICOMLoadable()
            made.name, made.files, made.selected = "series", list(files), True
            return [made]

    slicer.modules.dicomPlugins["DICOMScalarVolumePlugin"] = ScalarVolumes


def examination(folder: Path, number: int, **change: Any) -> Path:
    """A still of one patient's right breast; every number is a study of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {
        "SOPInstanceUID": f"1.2.3.9.{number}.1",
        "StudyInstanceUID": f"1.2.3.9.{number}.2",
        "SeriesInstanceUID": f"1.2.3.9.{number}.3",
        "ImageLaterality": "R",
        "BodyPartExamined": "BREAST",
        **change,
    }
    regions = stated.pop("regions", [region()])
    return save(dataset(screen(fan(), number), regions, **stated), folder / f"{number}.dcm")
