"""Which files an input holds: a folder, one file, a DICOMDIR, a Slicer DICOM database, a zip.

Nothing is read here but directories: which of the files are DICOM is found out from their headers.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pydicom
from pydicom.uid import MediaStorageDirectoryStorage

from breastpredict.dicom.headers import unreadable
from breastpredict.errors import InputError

SLICER_DATABASE = "ctkDICOM.sql"
"""The index of a DICOM database of Slicer (CTK), in its folder."""

ARCHIVE_BYTES = 40 * 2**30
"""An archive that unpacks to more is refused: the largest MR examinations hold a tenth of it."""

ARCHIVE_FILES = 200_000
ARCHIVE_RATIO = 100.0
"""MR pixels shrink by two to four; an archive that shrinks to a hundredth is no examination."""

_RATIO_MATTERS = 100 * 2**20  # bytes; below, any ratio is harmless
_CHUNK = 1 << 20
_DEPTH = 64  # folders within folders: deeper is a loop or an attack


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
    if not root.exists():
        raise InputError("There is no such folder or file", path=root)
    if root.is_dir():
        if (root / SLICER_DATABASE).is_file():
            return _database(root, study_uid)
        return _folder(root)
    if zipfile.is_zipfile(root):
        return _archive(root)
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
    """The files of a Slicer database: copied ones lie in its folder, linked ones anywhere."""
    query, values = "SELECT Filename FROM Images", ()
    if study_uid is not None:
        query = (
            "SELECT Filename FROM Images JOIN Series ON Images.SeriesInstanceUID = "
            "Series.SeriesInstanceUID WHERE Series.StudyInstanceUID = ?"
        )
        values = (study_uid,)  # type: ignore[assignment]
    path = root / SLICER_DATABASE
    try:
        # Opened for reading only: Slicer may have it open.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = sorted({str(row[0]) for row in database.execute(query, values)})
    except sqlite3.Error as error:
        raise InputError(
            "The Slicer DICOM database cannot be read",
            path=path,
            remedy="Close Slicer and try again, or give the folder of the DICOM files",
        ) from error
    named = [root / row for row in rows]
    found = tuple(path for path in named if path.is_file())
    gone = len(named) - len(found)
    notes = (f"{gone} files of the database are not there any more",) if gone else ()
    return Listing("Slicer DICOM database", found, notes)


def _directory(path: Path) -> Listing | None:
    """The files a DICOMDIR names (PS3.10 8, PS3.3 F); None where the file is none."""
    try:
        data = pydicom.dcmread(path)
    except OSError as error:
        raise unreadable(error, path) from error
    except Exception:  # pydicom raises many kinds on what is no DICOM file
        return None
    if data.get("file_meta", {}).get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
        return None
    root, found, gone, outside = path.parent, [], 0, 0
    for record in data.get("DirectoryRecordSequence", None) or ():
        try:
            name = record.get("ReferencedFileID")
            parts = [name] if isinstance(name, str) else [str(part) for part in name or ()]
        except Exception:  # a damaged record
            gone += 1
            continue
        if not parts:
            continue
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
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


def _archive(path: Path) -> Listing:
    """The DICOM files of a zip, unpacked under numbers: no name in it decides where a file goes."""
    damaged = InputError("The zip archive is damaged", path=path, remedy="Copy or export it again")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            _check_size(members, path)
            folder = tempfile.TemporaryDirectory(prefix="breastpredict-")
            found = tuple(_unpacked(archive, members, Path(folder.name), path))
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise damaged from error
    except OSError as error:
        raise unreadable(error, path) from error
    skipped = len(members) - len(found)
    notes = (f"{skipped} files of the archive are not DICOM",) if skipped else ()
    return Listing("zip archive", found, notes, keep=folder)


def _check_size(members: list[zipfile.ZipInfo], path: Path) -> None:
    total = sum(info.file_size for info in members)
    packed = max(1, path.stat().st_size)
    if len(members) > ARCHIVE_FILES or total > ARCHIVE_BYTES:
        raise InputError(
            f"The zip archive holds {len(members)} files of {total / 2**30:.1f} GiB in all, more "
            f"than an examination has",
            path=path,
            remedy="Unpack it and give the folder of one patient",
        )
    if total > _RATIO_MATTERS and total / packed > ARCHIVE_RATIO:
        raise InputError(
            f"The zip archive would unpack to {total / packed:.0f} times its size",
            path=path,
            remedy="It does not look like an examination; unpack it yourself if you trust it",
        )
    if any(info.flag_bits & 1 for info in members):
        raise InputError(
            "The zip archive is encrypted", path=path, remedy="Unpack it and give the folder"
        )
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if total > 0.9 * free:
        raise InputError(
            f"Unpacking the zip archive needs {total / 2**30:.1f} GiB, and the temporary folder "
            f"has {free / 2**30:.1f} GiB left",
            path=path,
            remedy="Set TMPDIR to a larger disk, or unpack it yourself",
        )


def _unpacked(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, path: Path
) -> Iterator[Path]:
    for number, info in enumerate(sorted(members, key=lambda info: info.filename)):
        if PurePosixPath(info.filename).name.upper() == "DICOMDIR":
            continue
        with archive.open(info) as source:
            head = source.read(_CHUNK)
            if not _may_be_dicom(head):
                continue
            target = folder / f"{number:06d}"
            left = info.file_size - len(head)
            with open(target, "wb") as file:
                file.write(head)
                while chunk := source.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:  # more than the directory says: it was checked against that
                        raise zipfile.BadZipFile(str(path))
                    file.write(chunk)
        yield target


def _may_be_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM" or head[:2] in (b"\x02\x00", b"\x08\x00")
