"""A cohort as a folder of case folders, where there is no table."""

from __future__ import annotations

import os
from pathlib import Path

from breastpredict.dicom.archive import is_archive
from breastpredict.errors import InputError, reason_of
from breastpredict.her2 import Her2Case

_NOT_COUNTED = ("thumbs.db", "desktop.ini")
"""What file managers leave; hidden files do not count either."""
_RULE = (
    "A case folder holds the study (one folder, or one zip archive) and the tumour's mask (one "
    "file), and nothing else"
)
_SHOWN = 5


def read_case_folders(folder: str | os.PathLike[str]) -> list[Her2Case]:
    """The cases of a folder whose sub-folders are cases, each named as its patient.

    A case folder holds exactly two things: the study, which is a folder or a zip archive, and the
    tumour's mask, which is any other file. Hidden files and those of file managers do not count.
    Nothing is guessed: a second folder or file makes the case ambiguous. Symbolic links are
    refused: they may lead out of what was given.

    Cases come sorted by name; they have no class and no cohort.

    Raises:
        InputError: no case folders, or such that break the rule; names the first of them.
    """
    root = Path(folder)
    try:
        entries = sorted(_counted(root), key=lambda entry: entry.name)
        wrong = [f"{root / e.name}: {why}" for e in entries if (why := _not_a_case(e)) is not None]
        cases = []
        for entry in entries if not wrong else ():
            found = _case(Path(entry.path))
            if isinstance(found, str):
                wrong.append(f"{entry.path}: {found}")
            else:
                cases.append(found)
    except OSError as error:
        raise InputError(f"The folder cannot be read ({reason_of(error)})", path=root) from error
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"{len(wrong)} cases cannot be told: {'; '.join(wrong[:_SHOWN])}{more}",
            path=root,
            remedy=f"{_RULE}; or give a cohort table",
        )
    if not cases:
        raise InputError("The folder holds no case folders", path=root, remedy=_RULE)
    return cases


def _counted(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [e for e in entries if e.name[0] != "." and e.name.lower() not in _NOT_COUNTED]


def _not_a_case(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        return "is a symbolic link"
    return None if entry.is_dir(follow_symlinks=False) else "is no case folder"


def _case(folder: Path) -> Her2Case | str:
    """The case in a folder, or why there is none."""
    studies: list[Path] = []
    masks: list[Path] = []
    for entry in _counted(folder):
        path = Path(entry.path)
        if entry.is_symlink():
            return f"'{entry.name}' is a symbolic link"
        study = entry.is_dir(follow_symlinks=False) or is_archive(path)
        (studies if study else masks).append(path)
    for what, found in (("studies", studies), ("masks", masks)):
        if len(found) != 1:
            names = ", ".join(sorted(path.name for path in found))
            return f"holds {len(found)} {what}" + (f" ({names})" if found else "")
    return Her2Case(
        patient_id=folder.name,
        cohort="",
        split="",
        study=studies[0],
        segmentation=masks[0],
        her2=None,
        ihc="",
        ish="",
    )
