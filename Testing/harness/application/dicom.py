"""The DICOM database and indexer, on pydicom."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from ..behaviours.registry import behaves_as
from ..descriptors import memory
from . import dicom_tables
from .state import running

Entry = tuple[str, pydicom.Dataset]  # file and header


def _text(header: pydicom.Dataset, tag: str) -> str:
    """A tag given as 'gggg,eeee' as CTK stores it: text, several values joined by '\\'."""
    group, element = tag.split(",")
    found = header.get(Tag(int(group, 16), int(element, 16)))
    if found is None or found.value is None or found.VR == "SQ":
        return ""
    value = found.value
    if isinstance(value, (list, tuple, MultiValue)):
        return "\\".join(map(str, value))
    return str(value)


def _tag(tag: Any, element: int | None) -> str:
    return tag if element is None else f"{tag:04x},{element:04x}"


def _header(path: str) -> pydicom.Dataset:
    """The file's header; an empty one if it is not DICOM."""
    if not os.path.isfile(path):
        return pydicom.Dataset()
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00"):
        return pydicom.Dataset()
    return pydicom.dcmread(path, stop_before_pixels=True, force=True)


def _unique(values: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(values))


@behaves_as("ctkDICOMDatabase")
class Database:
    """Files by SOP instance UID, in memory; a list of them beside the database file, which holds
    CTK's tables for whoever reads it."""

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.open, kept.file, kept.entries, kept.tags = False, "", {}, {}
        kept.patients = {}  # identity -> number, as the rows of CTK's patient table

    # Opening and closing

    def _get_isOpen(self) -> bool:
        return bool(memory(self).open)

    def _get_databaseFilename(self) -> str:
        return str(memory(self).file)

    def _get_databaseDirectory(self) -> str:
        return os.path.dirname(str(memory(self).file))

    def _list(self) -> Path:
        return Path(memory(self).file + ".json")

    def _do_openDatabase(self, file: str, connection: str = "") -> bool:
        self._do_closeDatabase()
        memory(self).open, memory(self).file = True, file
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if self._list().is_file():
            for path in json.loads(self._list().read_text(encoding="utf-8")):
                if os.path.isfile(path):
                    self._add(path)
        dicom_tables.write(file, self._all())
        self._announce("opened")
        return True

    def _do_closeDatabase(self) -> None:
        if memory(self).open:
            paths = json.dumps(self._do_allFiles())
            if Path(memory(self).file).parent.is_dir():
                self._list().write_text(paths, encoding="utf-8")
            self._begin()
            self._announce("closed")

    def _do_initializeDatabase(self, schema: str = "") -> bool:
        memory(self).entries.clear()
        memory(self).patients.clear()
        if memory(self).open:
            dicom_tables.write(memory(self).file, ())
        self._announce("databaseChanged")
        return True

    # Filling

    def _add(self, path: str) -> bool:
        header = _header(path)
        uid = str(header.get("SOPInstanceUID", ""))
        if not uid or uid in memory(self).entries:
            return False
        memory(self).entries[uid] = (path, header)
        identity = tuple(
            str(header.get(k, "")) for k in ("PatientID", "PatientName", "PatientBirthDate")
        )
        memory(self).patients.setdefault(identity, str(len(memory(self).patients) + 1))
        header.patient_row = memory(self).patients[identity]
        self._announce("instanceAdded", uid)
        return True

    def _do_insert(self, path: Any, store: bool = True, *rest: Any) -> None:
        if not isinstance(path, str):
            raise NotImplementedError("only files can be inserted here")
        if self._add(os.path.abspath(path)):
            dicom_tables.add(memory(self).file, self._all()[-1])
            self._announce("databaseChanged")

    def _remove(self, belongs: Callable[[pydicom.Dataset], bool]) -> bool:
        entries = memory(self).entries
        gone = [uid for uid, (_, header) in entries.items() if belongs(header)]
        for uid in gone:
            del entries[uid]
        if gone:
            dicom_tables.write(memory(self).file, self._all())
            self._announce("databaseChanged")
        return bool(gone)

    def _do_removeSeries(self, uid: str, *options: bool) -> bool:
        return self._remove(lambda header: header.get("SeriesInstanceUID") == uid)

    def _do_removeStudy(self, uid: str, *options: bool) -> bool:
        return self._remove(lambda header: header.get("StudyInstanceUID") == uid)

    def _do_removePatient(self, row: str, *options: bool) -> bool:
        return self._remove(lambda header: header.patient_row == row)

    # Patients, studies, series, instances

    def _all(self) -> list[Entry]:
        return list(memory(self).entries.values())

    def _where(self, keyword: str, value: str) -> list[Entry]:
        return [e for e in self._all() if str(e[1].get(keyword, "")) == value]

    def _first(self, keyword: str, value: str, wanted: str) -> str:
        return next((str(h.get(wanted, "")) for _, h in self._where(keyword, value)), "")

    def _do_patients(self) -> list[str]:
        return _unique(header.patient_row for _, header in self._all())

    def _patient(self, row: str) -> list[Entry]:
        return [e for e in self._all() if e[1].patient_row == row]

    def _do_studiesForPatient(self, row: str) -> list[str]:
        return _unique(str(header.StudyInstanceUID) for _, header in self._patient(row))

    def _do_seriesForStudy(self, uid: str) -> list[str]:
        found = self._where("StudyInstanceUID", uid)
        return _unique(str(header.SeriesInstanceUID) for _, header in found)

    def _do_filesForSeries(self, uid: str, hits: int = -1) -> list[str]:
        files = [path for path, _ in self._where("SeriesInstanceUID", uid)]
        return files[:hits] if hits > 0 else files

    def _do_instancesForSeries(self, uid: str, hits: int = -1) -> list[str]:
        found = [str(h.SOPInstanceUID) for _, h in self._where("SeriesInstanceUID", uid)]
        return found[:hits] if hits > 0 else found

    def _do_studyForSeries(self, uid: str) -> str:
        return self._first("SeriesInstanceUID", uid, "StudyInstanceUID")

    def _do_patientForStudy(self, uid: str) -> str:
        found = self._where("StudyInstanceUID", uid)
        return str(found[0][1].patient_row) if found else ""

    def _do_descriptionForSeries(self, uid: str) -> str:
        return self._first("SeriesInstanceUID", uid, "SeriesDescription")

    def _do_descriptionForStudy(self, uid: str) -> str:
        return self._first("StudyInstanceUID", uid, "StudyDescription")

    def _do_nameForPatient(self, row: str) -> str:
        return self._do_fieldForPatient("PatientsName", row)

    def _do_fieldForPatient(self, field: str, row: str) -> str:
        keyword = {"PatientsName": "PatientName", "PatientsBirthDate": "PatientBirthDate"}
        found = self._patient(row)
        return str(found[0][1].get(keyword.get(field, field), "")) if found else ""

    def _do_fieldForStudy(self, field: str, uid: str) -> str:
        return self._first("StudyInstanceUID", uid, field)

    def _do_fieldForSeries(self, field: str, uid: str) -> str:
        return self._first("SeriesInstanceUID", uid, field)

    def _do_allFiles(self) -> list[str]:
        return [path for path, _ in self._all()]

    def _do_patientsCount(self) -> int:
        return len(self._do_patients())

    def _do_studiesCount(self) -> int:
        return len(_unique(str(h.StudyInstanceUID) for _, h in self._all()))

    def _do_seriesCount(self) -> int:
        return len(_unique(str(h.SeriesInstanceUID) for _, h in self._all()))

    def _do_imagesCount(self) -> int:
        return len(memory(self).entries)

    # Values

    def _do_fileForInstance(self, uid: str) -> str:
        return memory(self).entries[uid][0] if uid in memory(self).entries else ""

    def _of_file(self, path: str) -> pydicom.Dataset:
        absolute = os.path.abspath(path)
        return next((header for p, header in self._all() if p == absolute), None) or _header(path)

    def _do_instanceForFile(self, path: str) -> str:
        known = os.path.abspath(path) in self._do_allFiles()
        return str(self._of_file(path).SOPInstanceUID) if known else ""

    def _do_seriesForFile(self, path: str) -> str:
        return str(self._of_file(path).get("SeriesInstanceUID", ""))

    def _do_fileValue(self, path: str, tag: Any, element: int | None = None) -> str:
        return _text(self._of_file(path), _tag(tag, element))

    def _do_instanceValue(self, uid: str, tag: Any, element: int | None = None) -> str:
        entry = memory(self).entries.get(uid)
        return _text(entry[1], _tag(tag, element)) if entry else ""

    def _do_fileValueExists(self, path: str, tag: Any, element: int | None = None) -> bool:
        return self._do_fileValue(path, tag, element) != ""

    def _do_instanceValueExists(self, uid: str, tag: Any, element: int | None = None) -> bool:
        return self._do_instanceValue(uid, tag, element) != ""

    def _do_cachedTag(self, uid: str, tag: str) -> str:
        return str(memory(self).tags.get((uid, tag), ""))

    def _do_cacheTag(self, uid: str, tag: str, value: str) -> bool:
        memory(self).tags[uid, tag] = value
        return True

    def _do_isDisplayedFieldsTableAvailable(self) -> bool:
        return True

    def _do_schemaVersion(self) -> str:
        return "0.8.1"

    _do_schemaVersionLoaded = _do_schemaVersion


@behaves_as("ctkDICOMIndexer")
class Indexer:
    """Puts files into a database at once; there is no background import."""

    def _do_setDatabase(self, database: Any) -> None:
        memory(self).database = database

    def _do_database(self) -> Any:
        return getattr(memory(self), "database", None)

    def _target(self, arguments: tuple[Any, ...]) -> tuple[Any, Any, bool]:
        """Database, what to add, and whether to copy it into the database's folder."""
        if isinstance(arguments[0], (str, list, tuple)):
            arguments = (self._do_database(), *arguments)
        return arguments[0], arguments[1], len(arguments) > 2 and bool(arguments[2])

    def _index(self, database: Any, paths: list[str], copy: bool) -> None:
        counts = ("patientsCount", "studiesCount", "seriesCount", "imagesCount")
        before = [getattr(database, name)() for name in counts]
        for path in paths:
            if copy:
                uid = str(_header(path).get("SOPInstanceUID", ""))
                if not uid:
                    continue
                folder = Path(database.databaseDirectory) / "dicom"
                folder.mkdir(parents=True, exist_ok=True)
                path = shutil.copy(path, str(folder / uid))
            database.insert(str(path))
        added = [getattr(database, n)() - old for n, old in zip(counts, before, strict=True)]
        self._announce("indexingComplete", *added)

    def _do_addDirectory(self, *arguments: Any) -> None:
        database, folder, copy = self._target(arguments)
        files = sorted(str(p) for p in Path(folder).rglob("*") if p.is_file())
        self._index(database, files, copy)

    def _do_addListOfFiles(self, *arguments: Any) -> None:
        database, files, copy = self._target(arguments)
        self._index(database, list(files), copy)

    def _do_addFile(self, *arguments: Any) -> None:
        database, file, copy = self._target(arguments)
        self._index(database, [file], copy)

    def _do_waitForImportFinished(self, milliseconds: int = -1) -> None:
        """Nothing is under way."""


@behaves_as("qSlicerDICOMExportable")
class Exportable:
    """A set of tags for export."""

    def _do_setTag(self, name: str, value: Any) -> None:
        memory(self).__dict__.setdefault("tags", {})[name] = str(value)

    def _do_tag(self, name: str) -> str:
        return str(memory(self).__dict__.setdefault("tags", {}).get(name, ""))


@behaves_as("qSlicerSubjectHierarchyPluginHandler")
class PluginHandler:
    """Exists so that DICOM code may ask for its instance."""

    defaults: ClassVar = {"displayPatientIDInSubjectHierarchyItemName": True}

    @staticmethod
    def _do_instance() -> Any:
        return running().__dict__["plugin_handler"]
