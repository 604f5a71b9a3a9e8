"""A pCR cohort without its patients: what may leave the hospital, as a cohort of its own.

Of every patient it keeps the B-mode region of both ultrasound images, the masks, the rectangle of
the biopsy, and the columns of the table that the system knows. The research identifier comes from
the cohort table: its column ``research_id``, or ``patient_id`` where there is none. Whom it stands
for is told by that table alone, which stays with the user.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from breastpredict.dicom import UltrasoundImage, join_masks, write_deidentified
from breastpredict.dicom.ultrasound_deidentify import review_png
from breastpredict.errors import BreastPredictError, InputError
from breastpredict.files import write_atomic, write_text
from breastpredict.pathology import SlideRegion, open_slide, read_patches
from breastpredict.pathology.patches import ACROSS, PATCH
from breastpredict.pcr import (
    BoxRoi,
    FromUs0,
    GivenRoi,
    MaskRoi,
    PcrCase,
    UltrasoundSource,
    check_pair,
)
from breastpredict.study.results import csv_text

Progress = Callable[[int, int, str], None]

COLUMNS = (
    "patient_id cohort split focality us0 us1 us0_roi us1_roi pathology pathology_mpp laterality "
    "us0_date us1_date subtype er ki67 regimen pcr synthetic"
).split()
_KEY_BYTES = 32
_GRID = ACROSS * PATCH
_SHIFT_DAYS = 365


@dataclass(frozen=True)
class Deidentified:
    """What came out.

    Attributes:
        table: the new cohort table.
        patients: written.
        unclear: images on which something may be left that identifies: look at their pictures.
        failures: patient → why it was left out.
    """

    table: Path
    patients: int
    unclear: int
    failures: dict[str, str]


def deidentify_pcr_cohort(
    cases: Sequence[PcrCase],
    out: str | os.PathLike[str],
    *,
    review: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    keep_intervals: bool = True,
    reviewed: Collection[str] = (),
    progress: Progress | None = None,
) -> Deidentified:
    """Write the cohort anew without what identifies its patients.

    Args:
        cases: the cohort. A research identifier that stands in the files as the patient's own is
            refused.
        out: folder, new or empty: ``COHORT.csv``, ``us/``, ``masks/``, ``pathology/``.
        review: folder for a picture of each ultrasound image before and after, for the person who
            checks them; it shows what the files show and so may not lie in ``out``.
        key_file: secret from which new UIDs and the shift of dates are made; made where there is
            none. Without it they are drawn anew and forgotten.
        keep_intervals: shift the dates of a patient by one random number of days; else they go.
        reviewed: research identifiers whose pictures a person has looked at and found clean.
        progress: called with patients done, patients in all and a line without identifiers.

    Raises:
        InputError: the folder is not empty, ``review`` lies in it, or a research identifier stands
            for two patients.
    """
    out = Path(out)
    say = progress or (lambda done, total, line: None)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("The folder is not empty", path=out, remedy="Give a new one")
    if review is not None and Path(review).resolve().is_relative_to(out.resolve()):
        raise InputError(
            "The pictures for the review show the patients and may not lie in what leaves",
            path=review,
            remedy="Give a folder elsewhere",
        )
    names = [research_id_of(case) for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"{len(twice)} research identifiers stand for two patients", remedy="Give each its own"
        )
    writer = _Writer(
        out,
        None if review is None else Path(review),
        _key(key_file),
        keep_intervals,
        frozenset(reviewed),
    )
    rows: list[dict[str, str]] = []
    failures: dict[str, str] = {}
    for number, case in enumerate(cases, start=1):
        try:
            rows.append(writer.write(case, f"{number:04d}"))
            line = "written"
        except BreastPredictError as error:
            writer.forget(f"{number:04d}")
            failures[case.patient_id] = str(error)
            line = "left out"
        say(number, len(cases), f"patient {number} {line}")
    table = out / "COHORT.csv"
    write_text(table, csv_text(COLUMNS, rows))
    return Deidentified(table, len(rows), writer.unclear, failures)


def research_id_of(case: PcrCase) -> str:
    """What the patient is called in what leaves."""
    return case.extra.get("research_id", "").strip() or case.patient_id


class _Writer:
    """Writes one patient after the other."""

    def __init__(
        self,
        out: Path,
        review: Path | None,
        key: bytes,
        keep_intervals: bool,
        reviewed: frozenset[str],
    ) -> None:
        self._out = out
        self._review = review
        self._key = key
        self._keep_intervals = keep_intervals
        self._reviewed = reviewed
        self.unclear = 0

    def write(self, case: PcrCase, name: str) -> dict[str, str]:
        """The patient's files and the new row."""
        row = {
            "patient_id": research_id_of(case),
            "cohort": case.cohort,
            "split": case.split,
            "focality": case.focality or "",
            "laterality": case.laterality or "",
            "subtype": case.clinical.subtype or "",
            "er": case.clinical.er or "",
            "ki67": "" if case.clinical.ki67 is None else f"{case.clinical.ki67:g}",
            "regimen": case.clinical.regimen or "",
            "pcr": "" if case.pcr is None else str(int(case.pcr)),
            "synthetic": case.extra.get("synthetic", ""),
        }
        sources = {"us0": case.us0, "us1": case.us1}
        images = {time: one.read() for time, one in sources.items() if one is not None}
        if len(images) == 2 and case.us0 is not None and case.us1 is not None:
            check_pair(
                images["us0"],
                images["us1"],
                us0_date=case.us0.date,
                us1_date=case.us1.date,
                laterality=case.laterality,
            )
        for time, image in images.items():
            source = sources[time]
            assert source is not None
            row.update(self._ultrasound(case, source, image, time, name))
        if case.pathology is not None:
            row.update(self._pathology(case, name))
        return row

    def forget(self, name: str) -> None:
        """Remove what was written of a patient before it failed."""
        for path in self._out.glob(f"*/{name}[_.]*"):
            path.unlink()

    def _ultrasound(
        self, case: PcrCase, source: UltrasoundSource, image: UltrasoundImage, time: str, name: str
    ) -> dict[str, str]:
        path = self._out / "us" / f"{name}_{time}.dcm"
        research_id = research_id_of(case)
        clean = research_id in self._reviewed
        days = self._shift(research_id) if self._keep_intervals else None
        write_deidentified(
            image,
            path,
            research_id=research_id,
            key=self._key,
            shift_days=days if image.study_date else None,
            reviewed=clean,
        )
        if not clean and (image.marks or not image.area_found):
            self.unclear += 1
        if self._review is not None:
            with write_atomic(self._review / f"{name}_{time}.png") as temporary:
                temporary.write_bytes(review_png(image))
        by_hand = ""
        if source.date and days is not None:
            by_hand = (date.fromisoformat(source.date.strip()) + timedelta(days)).isoformat()
        return {
            f"{time}_date": by_hand,
            time: path.relative_to(self._out).as_posix(),
            f"{time}_roi": self._roi(source.roi, image, f"{name}_{time}"),
        }

    def _roi(self, roi: GivenRoi, image: UltrasoundImage, name: str) -> str:
        """The region in pixels of the new image, which is the B-mode region alone."""
        if isinstance(roi, FromUs0):
            return "us0"
        x, y = image.region.box[:2]
        if isinstance(roi, MaskRoi):
            mask = join_masks(roi.paths)
            columns, rows = image.source_size
            if mask.shape != (rows, columns):
                raise InputError(
                    f"The mask has {mask.shape[1]} × {mask.shape[0]} pixels, the image "
                    f"{columns} × {rows}",
                    path=roi.paths[0],
                )
            path = self._out / "masks" / f"{name}.png"
            with write_atomic(path) as temporary:
                cut = mask[image.region.slices].astype(np.uint8) * 255
                Image.fromarray(cut).save(temporary, "PNG")
            return path.relative_to(self._out).as_posix()
        if isinstance(roi, BoxRoi):
            return f"box:{roi.x0 - x:g},{roi.y0 - y:g},{roi.x1 - x:g},{roi.y1 - y:g}"
        return f"point:{roi.x - x:g},{roi.y - y:g},{roi.side:g}"

    def _pathology(self, case: PcrCase, name: str) -> dict[str, str]:
        """The rectangle as a picture: pixels only, nothing of the slide's label or description."""
        assert case.pathology is not None
        region = None if case.pathology_region is None else SlideRegion(*case.pathology_region)
        with open_slide(case.pathology, mpp=case.pathology_mpp) as slide:
            taken = read_patches(slide, region).region
            # As many pixels as the network's grid has, but none that was not scanned.
            size = min(_GRID, taken.width), min(_GRID, taken.height)
            picture = slide.read(taken.x, taken.y, taken.width, taken.height, out=size)
            mpp = slide.mpp
        path = self._out / "pathology" / f"{name}.png"
        with write_atomic(path) as temporary:
            Image.fromarray(picture).save(temporary, "PNG")
        scale = "" if mpp is None else f"{mpp[0] * taken.width / size[0]:.6g}"
        return {"pathology": path.relative_to(self._out).as_posix(), "pathology_mpp": scale}

    def _shift(self, patient: str) -> int:
        """Days, from 1 to a year, into the past; the same for all of a patient's images."""
        digest = hmac.new(self._key, patient.encode(), hashlib.sha256).digest()
        return -1 - int.from_bytes(digest[:4], "big") % _SHIFT_DAYS


def _key(path: str | os.PathLike[str] | None) -> bytes:
    """The project's secret; made, readable for its owner alone, where the file is not there."""
    if path is None:
        return secrets.token_bytes(_KEY_BYTES)
    path = Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError("The key file cannot be read, or holds no key", path=path) from error
    if len(key) != _KEY_BYTES:
        raise InputError("The key file holds no key", path=path)
    return key
