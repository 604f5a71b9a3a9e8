"""Zip archives of DICOM files, unpacked within bounds: no name in one decides where a file goes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from breastpredict.dicom.headers import unreadable
from breastpredict.errors import InputError

ARCHIVE_BYTES = 40 * 2**30
"""An archive that unpacks to more is refused: the largest MR examinations hold a tenth of it."""

ARCHIVE_FILES = 200_000
ARCHIVE_RATIO = 100.0
"""MR pixels shrink by two to four; an archive that shrinks to a hundredth is no examination."""

_RATIO_MATTERS = 100 * 2**20  # bytes; below, any ratio is harmless
_CHUNK = 1 << 20
_UNPACK = "Unpack it and give the folder of one patient"
# Python unpacks other methods without a bound on memory, or not at all (Deflate64).
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}


class Unpacked:
    """The DICOM files of an archive, in a private folder that is removed with this object.

    Attributes:
        paths: of the files, in the order of their names in the archive.
        notes: what was passed over.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="breastpredict-"))  # readable by its owner only
        self.paths: tuple[Path, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def is_archive(path: Path) -> bool:
    """Whether a file is, or begins like, a zip archive.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(132)
        # Pixels may hold by chance what marks the end of an archive.
        return head[:4] == b"PK\3\4" or (head[128:] != b"DICM" and zipfile.is_zipfile(path))
    except OSError as error:
        raise unreadable(error, path) from error


def unpack(path: Path) -> Unpacked:
    """Unpack the DICOM files of a zip archive into numbered files.

    Raises:
        InputError: it is damaged, encrypted, unreasonable, or there is no room for it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            _check(members, path)
            return _unpacked(archive, members)
    except InputError:
        raise
    except OSError as error:
        raise unreadable(error, path) from error
    except Exception as error:  # zipfile raises many kinds on damage, zlib.error among them
        raise InputError(
            "The zip archive is damaged", path=path, remedy="Copy or export it again"
        ) from error


def _unpacked(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Unpacked:
    out = Unpacked()
    try:
        out.paths = tuple(_files(archive, members, out.folder))
    except BaseException:
        out.remove()
        raise
    out.notes = _notes(members, len(out.paths))
    return out


def _check(members: list[zipfile.ZipInfo], path: Path) -> None:
    total = sum(info.file_size for info in members)
    packed = max(1, path.stat().st_size)
    if len(members) > ARCHIVE_FILES or total > ARCHIVE_BYTES:
        raise InputError(
            f"The zip archive holds {len(members)} files of {total / 2**30:.1f} GiB in all, more "
            f"than an examination has",
            path=path,
            remedy=_UNPACK,
        )
    if total > _RATIO_MATTERS and total / packed > ARCHIVE_RATIO:
        raise InputError(
            f"The zip archive would unpack to {total / packed:.0f} times its size",
            path=path,
            remedy="It does not look like an examination; unpack it yourself if you trust it",
        )
    if any(info.flag_bits & 1 for info in members):
        raise InputError("The zip archive is encrypted", path=path, remedy=_UNPACK)
    other = {info.compress_type for info in members} - set(_METHODS)
    if other:
        names = ", ".join(_OTHER_METHODS.get(n, f"method {n}") for n in sorted(other))
        raise InputError(
            f"The zip archive is packed by {names}; only deflate is opened here",
            path=path,
            remedy=_UNPACK,
        )
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if total > 0.9 * free:
        raise InputError(
            f"Unpacking the zip archive needs {total / 2**30:.1f} GiB, and the temporary folder "
            f"has {free / 2**30:.1f} GiB left",
            path=path,
            remedy="Set TMPDIR to a larger disk, or unpack it yourself",
        )


def _files(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path
) -> Iterator[Path]:
    for number, info in enumerate(sorted(members, key=lambda info: info.filename)):
        if PurePosixPath(info.filename).name.upper() == "DICOMDIR":
            continue
        # No more is read of a member than its directory entry says, which `_check` has seen.
        with archive.open(info) as source:
            head = source.read(_CHUNK)
            if not _may_be_dicom(head):
                continue
            target = folder / f"{number:06d}"
            with open(target, "wb") as file:
                file.write(head)
                shutil.copyfileobj(source, file, _CHUNK)
        yield target


def _notes(members: list[zipfile.ZipInfo], found: int) -> tuple[str, ...]:
    names = [PurePosixPath(info.filename).name.upper() for info in members]
    inner = sum(name.endswith(".ZIP") for name in names)
    other = len(members) - found - inner - names.count("DICOMDIR")
    notes = []
    if other:
        notes.append(f"{other} files of the archive are not DICOM")
    if inner:
        notes.append(f"{inner} zip archives within the archive were not opened")
    return tuple(notes)


def _may_be_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM" or head[:2] in (b"\x02\x00", b"\x08\x00")
