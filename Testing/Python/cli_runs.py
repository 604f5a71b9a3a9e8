"""The command line as a test calls it, and the small cases and cohorts it is run on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import TIMES, dce, files_below, only

from breastpredict.cli import main
from breastpredict.dicom import Provenance, read_study, write_segmentation
from breastpredict.phantom import StudyHeader, write_dce

SIZE = (48, 40, 9)
LESION = (slice(3, 6), slice(14, 26), slice(18, 32))
SECRET_ID, SECRET_NAME = "SECRET-ID-7", "Secretname^Jane"
"""What must not come out at the other end."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def command(capfd: pytest.CaptureFixture[str], *words: str | Path) -> Ended:
    """A command in this process; what libraries print, warn and log counts as written by it."""
    capfd.readouterr()
    handler = logging.StreamHandler(sys.stderr)  # pytest's own takes the place of Python's last
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)  # as Python does for its users
        warnings.showwarning = _to_standard_error
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        finally:
            logging.getLogger().removeHandler(handler)
    written = capfd.readouterr()
    return Ended(code, written.out, written.err)


def process(*words: str | Path, before: Sequence[str] = ()) -> Ended:
    """A command as the user gives it: ``python -m breastpredict`` in its own process."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "breastpredict", *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False, env=environment(),
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """Of a process of its own: nothing of this one's path, and torch on one thread."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": "1"}


def _to_standard_error(message: object, category: type, *_: object) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


def make_study(
    folder: Path,
    patient: str = SECRET_ID,
    *,
    seed: int = 0,
    phases: int = 3,
    enhancing: bool = True,
    lesion: tuple[slice, slice, slice] = LESION,
) -> Path:
    """A study of one series a phase; the lesion enhances from phase 2 on."""
    pre = 1 if enhancing else phases
    volumes = dce(phases, pre, SIZE, lesion=lesion, seed=seed)
    header = StudyHeader(patient_id=patient, patient_name=SECRET_NAME, seed=seed)
    write_dce(folder, volumes, layout="siemens", times_s=TIMES[:phases], header=header)
    return folder


def make_mask(path: Path, study: Path, lesion: tuple[slice, slice, slice] | None = LESION) -> Path:
    """The lesion as DICOM SEG (``.dcm``) or in any format SimpleITK writes; None: empty."""
    phase = only(read_study(study)).phases[0]
    values = np.zeros(SIZE[::-1], np.uint8)
    if lesion is not None:
        values[lesion] = 1
    mask = phase.geometry.to_image(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dcm":
        write_segmentation(mask, phase, path, provenance=Provenance(), algorithm="MANUAL")
    else:
        sitk.WriteImage(mask, str(path))
    return path


def make_cohort(folder: Path, patients: Sequence[str]) -> Path:
    """COHORT.csv with a study and a mask for each patient."""
    lines = ["patient_id,cohort,split,study,segmentation,ihc,ish"]
    for number, patient in enumerate(patients):
        study = make_study(folder / f"study{number}", patient, seed=number)
        make_mask(folder / f"mask{number}.nrrd", study)
        lines.append(f"{patient},SITE,external,study{number},mask{number}.nrrd,3+,")
    table = folder / "COHORT.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def phase_files(study: Path, phase: int) -> list[Path]:
    """The files of a phase (1-based), slice by slice."""
    return files_below(sorted(path for path in study.iterdir() if path.is_dir())[phase - 1])


def truncate(path: Path, missing: int = 64) -> Path:
    """Cut bytes off the end of the pixels."""
    path.write_bytes(path.read_bytes()[:-missing])
    return path


def without_tag(path: Path, keyword: str) -> Path:
    """The file without a tag."""
    data = pydicom.dcmread(path)
    delattr(data, keyword)
    data.save_as(path)
    return path
