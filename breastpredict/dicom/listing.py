"""Which files an input holds: a folder, one file, a DICOMDIR, a Slicer DICOM database, a zip.

Nothing is read here but directories: which of the files are DICOM is found out from their headers.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import MediaStorageDirectoryStorage

from breastpredict.dicom.archive import is_archive, unpack
from breastpredict.dicom.bounded import read_dataset, read_meta
from breastpredict.dicom.headers import unreadable
from breastpredict.errors import InputError

SLICER_DATABASE = "ctkDICOM.sql"
"""The index of a DICOM database of Slicer (CTK), in its folder."""

_DEPTH = 64  # folders within folders: deeper is a loop or an attack
_LOCKED_S = 2.0  # how long to wait for Slicer to finish writing
_QUERY_S = 20.0  # a database of a million files answers in a few seconds
_MAXIMUM_NAMES = 2_000_000


@dataclass(frozen=True)
class Listing:
    """The files of an input.

    Attributes:
        kind: "folder", "file", "DICOMDIR", "Slicer DICOM database" or "zip archive".
        paths: in a fixed order.
        notes: what was passed over, for the reader.
        keep: holds a temporary folder alive that the paths lie in; it is removed with this.
    """

    kind: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    keep: object = None


def list_files(path: str | os.PathLike[str], *, study_uid: str | None = None) -> Listing:
    """The files of an input.

    Symbolic links are not followed: they may lead out of what was given.

    Args:
        path: a folder, with or without a DICOMDIR or a Slicer database; a DICOMDIR; a zip archive;
            or a single DICOM file.
        study_uid: lists only this study, where the input has an index that says it (a database).

    Raises:
        InputError: there is nothing, it cannot be read, or an archive is damaged, encrypted or
            unreasonable.
    """
    root = Path(path)
    try:
        if root.is_dir():
            if (root / SLICER_DATABASE).is_file():
                return _database(root, study_uid)
            return _folder(root)
        if root.is_file():
            return _file(root, study_uid)
        exists = root.exists()
    except OSError as error:
        raise unreadable(error, root) from error
    raise InputError(
        "This is neither a file nor a folder" if exists else "There is no such folder or file",
        path=root,
    )


def _file(root: Path, study_uid: str | None) -> Listing:
    if root.name == SLICER_DATABASE:
        return _database(root.parent, study_uid)
    if is_archive(root):
        unpacked = unpack(root)
        return Listing("zip archive", unpacked.paths, unpacked.notes, keep=unpacked)
    directory = _directory(root)
    return directory if directory is not None else Listing("file", (root,))


def _folder(root: Path) -> Listing:
    def stop(error: OSError) -> None:
        raise unreadable(error, Path(error.filename or root)) from error

    paths: list[Path] = []
    links = archives = 0
    for where, folders, names in os.walk(root, onerror=stop, followlinks=False):
        if len(Path(where).parts) - len(root.parts) > _DEPTH:
            raise InputError(f"Folders are nested more than {_DEPTH} deep", path=where)
        links += sum(Path(where, name).is_symlink() for name in folders)
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.is_symlink():
                links += 1
            elif name.upper() != "DICOMDIR" and path.is_file():
                archives += name.lower().endswith(".zip")
                paths.append(path)
    notes = []
    if links:
        notes.append(f"{links} symbolic links were not followed")
    if archives:
        notes.append(f"{archives} zip archives in the folder were not opened: give one as input")
    return Listing("folder", tuple(paths), tuple(notes))


def _database(root: Path, study_uid: str | None) -> Listing:
    """The files of a Slicer database: copied ones lie in its folder and are named relative to it,
    linked ones lie anywhere and have absolute names (CTK, ``ctkDICOMDatabase``)."""
    names = _names_in_database(root / SLICER_DATABASE, study_uid)
    if study_uid is not None and not names:
        raise InputError("The study asked for is not in the Slicer DICOM database", path=root)
    found, gone, outside = [], 0, 0
    for name in names:
        file = root / name
        if not file.is_file():
            gone += 1
        elif Path(name).is_absolute() or file.resolve().is_relative_to(root.resolve()):
            found.append(file)
        else:
            outside += 1
    notes = []
    if gone:
        notes.append(f"{gone} files of the database are not there any more")
    if outside:
        notes.append(f"{outside} files of the database lie outside of its folder")
    return Listing("Slicer DICOM database", tuple(found), tuple(notes))


def _names_in_database(path: Path, study_uid: str | None) -> list[str]:
    query, values = "SELECT Filename FROM Images", ()
    if study_uid is not None:
        query = (
            "SELECT Filename FROM Images JOIN Series ON Images.SeriesInstanceUID = "
            "Series.SeriesInstanceUID WHERE Series.StudyInstanceUID = ?"
        )
        values = (study_uid,)  # type: ignore[assignment]
    # Opened for reading only: Slicer may have it open.
    address = f"{path.absolute().as_uri()}?mode=ro"
    until = time.monotonic() + _QUERY_S
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_LOCKED_S)) as database:
            # A damaged or hostile database may answer without end.
            database.set_progress_handler(lambda: time.monotonic() > until, 1_000_000)
            rows = database.execute(query, values).fetchmany(_MAXIMUM_NAMES)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(
            "The Slicer DICOM database cannot be read",
            path=path,
            remedy="Close Slicer and try again, or give the folder of the DICOM files",
        ) from error
    # A name may be missing where only the headers were fetched from a server.
    return sorted({str(row[0]) for row in rows if row[0]})


def _directory(path: Path) -> Listing | None:
    """The files a DICOMDIR names (PS3.10 8, PS3.3 F); None where the file is none."""
    try:
        meta = read_meta(path)
        if meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
            return None
    except OSError as error:
        raise unreadable(error, path) from error
    except Exception:  # pydicom raises many kinds on what is no DICOM file
        return None
    try:
        records = list(read_dataset(path).DirectoryRecordSequence)
    except Exception as error:
        raise InputError(
            "The DICOMDIR is damaged", path=path, remedy="Give the folder it lies in"
        ) from error
    root, found, gone, outside = path.parent, [], 0, 0
    for record in records:
        try:
            name = record.get("ReferencedFileID")
            parts = [name] if isinstance(name, str) else [str(part) for part in name or ()]
        except Exception:  # a damaged record
            gone += 1
            continue
        if not parts:
            continue  # of a patient, study or series
        if any(part in ("", ".", "..") or set(part) & set("/\\:\0") for part in parts):
            outside += 1
            continue
        file = _as_written(root, parts)
        if file is None:
            gone += 1
        elif not file.resolve().is_relative_to(root.resolve()):
            outside += 1
        else:
            found.append(file)
    notes = []
    if gone:
        notes.append(f"{gone} files that the DICOMDIR names are not there")
    if outside:
        notes.append(f"{outside} files that the DICOMDIR names lie outside of its folder")
    return Listing("DICOMDIR", tuple(dict.fromkeys(found)), tuple(notes))


def _as_written(root: Path, parts: list[str]) -> Path | None:
    """A file by its DICOMDIR name; media are often copied to lower case."""
    for change in (str, str.lower):
        path = root.joinpath(*map(change, parts))
        if path.is_file():
            return path
    return None
