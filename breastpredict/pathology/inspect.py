"""What `inspect` says of slides, joined to what it says of DICOM studies."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom import index_folder, inspect_text, study_summary
from breastpredict.errors import InputError
from breastpredict.pathology.dicom_slide import dicom_pyramids, open_pyramid, read_slide_header
from breastpredict.pathology.files import kind_of, open_slide
from breastpredict.pathology.openslide_file import SUFFIXES
from breastpredict.pathology.slide import Slide

_PYRAMIDS = (".svs", ".tif", ".tiff", ".ndpi", ".scn", ".btf", *SUFFIXES)

_Opening = Callable[[], Slide]
"""Opens a slide, or raises InputError."""


def describe_slide(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a slide holds, by headers only; plain values for JSON, no identifiers.

    Raises:
        InputError: as `open_slide` does.
    """
    with open_slide(path) as slide:
        return _summary(slide)


def slide_summaries(
    files: Sequence[Path], root: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The slides among these files, and those that cannot be used with the reason.

    Files of one DICOM pyramid are one slide, named by the largest image; its label, overview and
    thumbnail are not counted. Pictures that were cut from slides before are left out.

    Returns:
        plain values for JSON, no identifiers; file names are relative to what was given.
    """
    usable, refused = [], []
    for name, series_uid, opening in [*_dicom_slides(files, root), *_others(files, root)]:
        try:
            with opening() as slide:
                if not slide.plain:
                    usable.append({"file": name, "series_uid": series_uid, **_summary(slide)})
        except InputError as error:
            # Without the path: it is named above, and may lead into an unpacked archive.
            reason = f"slide {name}: {error.problem}"
            refused.append(
                {"series_uid": series_uid, "series_number": "", "reason": reason, "files": 1}
            )
    return usable, refused


def inspect_everything(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Studies with their DCE acquisitions, ultrasound and slides, as plain values for JSON.

    As `breastpredict.dicom.inspect_folder`; slides in DICOM stand in their studies. Those in other
    files belong to no study that the files tell of: they stand in a last one whose ``study_uid`` is
    empty.

    Raises:
        InputError: there is neither a DICOM file nor a slide.
    """
    root = Path(path)
    pyramids = _pyramid_files(root)
    others, damaged = slide_summaries(pyramids, root)
    found: list[dict[str, Any]] = []
    try:
        for study in [] if pyramids == [root] else index_folder(root):
            summary = study_summary(study)
            slides, refused = slide_summaries(study.slides, study.folder)
            summary["slides"] = slides
            summary["rejected"] = [*summary["rejected"], *refused]
            summary["ignored_files"] -= len(others) + len(damaged)
            found.append(summary)
    except InputError:
        if _holds_dicom(root) or not (others or damaged):
            raise
    if others or damaged:
        found.append(_no_study(others, damaged))
    if not found:
        raise InputError("There is neither a DICOM file nor a slide here", path=root)
    return {"note": RESEARCH_USE_ONLY, "studies": found}


def inspect_everything_text(found: dict[str, Any]) -> str:
    """The same in words."""
    return inspect_text(found, also=_lines)


def _lines(study: dict[str, Any]) -> list[str]:
    lines = []
    for one in study["slides"]:
        columns, rows = one["size"]
        mpp = one["mpp"]
        scale = (
            f"no scale: {one['why_no_mpp']}"
            if mpp is None
            else " × ".join(f"{x:.4g}" for x in mpp) + " µm per pixel"
        )
        levels = len(one["levels"])
        count = "1 level" if levels == 1 else f"{levels} levels"
        lines.append(f"  slide {one['file']}: {one['kind']}, {columns} × {rows}, {count}, {scale}")
        lines.extend(f"    note: {warning}" for warning in one["warnings"])
    return lines


def _summary(slide: Slide) -> dict[str, Any]:
    return {
        "kind": slide.kind,
        "size": list(slide.size),
        "mpp": None if slide.mpp is None else [round(one, 6) for one in slide.mpp],
        "why_no_mpp": slide.scale.by if slide.mpp is None else None,
        "levels": [
            {"size": list(level.size), "downsample": round(level.downsample[0], 4)}
            for level in slide.levels
        ],
        "warnings": list(slide.warnings),
    }


def _no_study(slides: list[dict[str, Any]], refused: list[dict[str, Any]]) -> dict[str, Any]:
    """Slides that are not DICOM, as a study without identity."""
    return {
        "study_uid": "",
        "modality": "SM",
        "manufacturer": "",
        "source": "folder",
        "notes": [],
        "dce": [],
        "ultrasound": [],
        "slides": slides,
        "segmentations": 0,
        "rejected": refused,
        "ignored_files": 0,
    }


def _dicom_slides(files: Sequence[Path], root: Path) -> list[tuple[str, str, _Opening]]:
    """Name, series and opening of each pyramid; files that cannot be read stand by themselves."""
    headers = [(path, read_slide_header(path)) for path in files if _is_dicom(path)]
    found: list[tuple[str, str, _Opening]] = [
        (_name(path, root), "", partial(open_slide, path)) for path, h in headers if h is None
    ]
    for pyramid in dicom_pyramids([(path, h) for path, h in headers if h is not None]):
        path, header = max(pyramid, key=lambda one: int(one[1].TotalPixelMatrixColumns or 0))
        series = str(header.get("SeriesInstanceUID") or "")
        found.append((_name(path, root), series, partial(open_pyramid, path, pyramid, None)))
    return found


def _others(files: Sequence[Path], root: Path) -> list[tuple[str, str, _Opening]]:
    return [
        (_name(path, root), "", partial(open_slide, path)) for path in files if not _is_dicom(path)
    ]


def _name(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return path.name if name == "." else name


def _is_dicom(path: Path) -> bool:
    try:
        return kind_of(path) == "DICOM"
    except InputError:
        return False


def _holds_dicom(root: Path) -> bool:
    return any(_is_dicom(path) for path in root.rglob("*") if path.is_file())


def _pyramid_files(root: Path) -> list[Path]:
    """Files that by their names may be slides; links are not followed."""
    if root.is_file():
        return [root] if root.suffix.lower() in _PYRAMIDS and not _is_dicom(root) else []
    if not root.is_dir():
        return []
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in _PYRAMIDS
        and path.is_file()
        and not path.is_symlink()
        and not _is_dicom(path)
    )
