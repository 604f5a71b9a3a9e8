"""Slicer's DICOM database: what it holds, and putting results into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import slicer

_WORDS = ("0010,0010", "0010,0020", "0008,0020", "0008,1030")
"""Name, ID, date and description."""
_IMAGE_TYPE, _FRAME_OF_REFERENCE, _COLUMNS = "0008,0008", "0020,0052", "0048,0006"


def studies_of(modality: str) -> list[tuple[str, str]]:
    """UID and words of the studies in the open database that hold series of a modality."""
    database = slicer.dicomDatabase
    if database is None or not database.isOpen:
        return []
    found = []
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            series = database.seriesForStudy(study)
            if modality not in {database.fieldForSeries("Modality", each) for each in series}:
                continue
            instances = database.instancesForSeries(series[0], 1)
            texts = [database.instanceValue(instances[0], tag) for tag in _WORDS if instances]
            found.append((study, " · ".join(text for text in texts if text) or study))
    return found


def files_of(modality: str) -> list[tuple[str, str]]:
    """File and words of every instance of a modality in the open database; for stills and clips."""
    return [found for files in _series_of(modality) for found in _worded(files)]


def slides_of() -> list[tuple[str, str]]:
    """File and words of every slide in the open database: of a pyramid its largest image.

    Labels and overviews, which name the patient, are none. A series may hold several slides; they
    are told apart by their frames of reference.
    """
    database = slicer.dicomDatabase
    found = []
    for files in _series_of("SM"):
        largest: dict[str, tuple[int, str]] = {}
        for file in files:
            if "VOLUME" not in database.fileValue(file, _IMAGE_TYPE).split("\\"):
                continue
            columns = database.fileValue(file, _COLUMNS)
            size = int(columns) if columns.isdigit() else 0
            slide = database.fileValue(file, _FRAME_OF_REFERENCE)
            largest[slide] = max(largest.get(slide, (-1, "")), (size, file))
        found += _worded([file for _size, file in largest.values()])
    return found


def _series_of(modality: str) -> Iterator[list[str]]:
    """The files of every series of a modality in the open database."""
    database = slicer.dicomDatabase
    if database is None or not database.isOpen:
        return
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            for series in database.seriesForStudy(study):
                if database.fieldForSeries("Modality", series) == modality:
                    yield [str(file) for file in database.filesForSeries(series)]


def _worded(files: list[str]) -> Iterator[tuple[str, str]]:
    """Files with words that tell them apart."""
    for number, file in enumerate(files, start=1):
        texts = [slicer.dicomDatabase.fileValue(file, tag) for tag in _WORDS]
        which = f"{number}/{len(files)}" if len(files) > 1 else ""
        words = " · ".join(text for text in (*texts, which) if text)
        yield file, words or Path(file).name


def save_to_database(folder: Path) -> int:
    """Index the DICOM files of a result into the open database, as copies; returns how many.

    Raises:
        RuntimeError: no database is open, there is no DICOM to save, or it was not taken.
    """
    import pydicom
    from DICOMLib import DICOMUtils

    database = slicer.dicomDatabase
    if database is None or not database.isOpen:
        raise RuntimeError("No DICOM database is open: open the DICOM module once.")
    files = sorted(folder.glob("*.dcm"))
    if not files:
        raise RuntimeError("This result has no DICOM files.")
    # The folder is a temporary one: the database gets its own copies.
    if not DICOMUtils.importDicom(str(folder), database, copyFiles=True):
        raise RuntimeError("The DICOM database did not take the files.")
    for file in files:
        uid = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[0x00080018])
        if not database.fileForInstance(str(uid.SOPInstanceUID)):
            raise RuntimeError(f"The DICOM database did not take {file.name}.")
    return len(files)
