"""Reader studies on phantoms, and readers who draw as they are told."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom import read_mask
from breastpredict.imaging import BoxedMask
from breastpredict.phantom import make_her2_phantom
from breastpredict.reader import Plan, PlannedCase, make_plan, sign_in

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="session")
def reader_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COHORT.csv of nine small phantoms: two zero, four low, three positive."""
    folder = tmp_path_factory.mktemp("readers") / "cohort"
    return make_her2_phantom(folder, {"SITE-A": 9}, matrix=48, slices=8, phases=2, workers=1)


def planned(cohort: Path, out: Path, cases: int = 6, **options: object) -> Plan:
    """A plan for readers A and B."""
    settings = {"readers": ("A", "B"), "cases": cases, **options}
    return make_plan(cohort, out, **settings).plan  # type: ignore[arg-type]


class Clock:
    """A clock that is set by hand, for `sign_in`."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


class Truth:
    """The planted lesions of a plan's cases, found by the coordinator's key."""

    def __init__(self, cohort: Path, key_file: Path) -> None:
        self.key = json.loads(key_file.read_text("utf-8"))["cases"]
        with open(cohort, encoding="utf-8", newline="") as file:
            self.rows = {row["patient_id"]: row for row in csv.DictReader(file)}
        self.folder = cohort.parent

    def __call__(self, case: PlannedCase) -> BoxedMask:
        row = self.rows[self.key[case.key]["patient_id"]]
        return read_mask(self.folder / row["segmentation"], case.phase.geometry).mask


Hand = Callable[[sitk.Image, int], sitk.Image | None]
"""What a reader makes of the true mask of the case at a 1-based place; None: no lesion."""


def grown(voxels: int, mask: sitk.Image) -> sitk.Image:
    """In plane, dilated by so many voxels or eroded where negative."""
    radius = [abs(voxels), abs(voxels), 0]
    if voxels > 0:
        return sitk.BinaryDilate(mask, radius)
    return sitk.BinaryErode(mask, radius) if voxels < 0 else mask


def read_session(
    plan: Plan, truth: Truth, reader: str, clock: Clock, hand: Hand, cases: int | None = None
) -> None:
    """Read (so many cases of) the reader's next session, four minutes each."""
    session = sign_in(plan, reader, clock=clock)
    while (cases is None or session.done < cases) and (given := session.next_case()) is not None:
        true = truth(given.case)
        middle = tuple(float(x) for x in true.geometry.index_to_physical(_middle(true)))
        clock.pass_(minutes=4)
        number = plan.cases.index(given.key) + 1
        session.save_reading(
            hand(true.to_image(), number),
            automatic=true,
            seed_point_lps=middle,  # type: ignore[arg-type]
        )


def _middle(mask: BoxedMask) -> NDArray[np.float64]:
    """The lesion's centroid as index (i, j, k)."""
    k, j, i = np.argwhere(mask.inside).mean(axis=0) + mask.start
    return np.array([i, j, k])
