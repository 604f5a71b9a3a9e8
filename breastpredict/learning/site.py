"""The patients of a site that a trained run is fitted to, and what becomes of its bundles."""

from __future__ import annotations

import datetime
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from breastpredict.errors import InputError
from breastpredict.learning.recalibration import Fitted, Method, recalibrate
from breastpredict.learning.run_files import CaseFailure, read_split

Progress = Callable[[int, int, str], None]
"""Called with patients done, patients in all and a line."""

RUN_FILES = ("run.json", "split.csv", "scores.csv")
"""What evaluation wants to know of the training; a recalibrated run keeps it."""


class SitePatient(Protocol):
    """A row of a cohort table."""

    @property
    def patient_id(self) -> str:
        """The cohort's own."""

    @property
    def cohort(self) -> str:
        """Its site."""

    @property
    def split(self) -> str:
        """As the table has it."""


_Case = TypeVar("_Case", bound=SitePatient)


@dataclass(frozen=True)
class SiteRecalibration:
    """A run fitted to a site.

    Attributes:
        folder: the new run.
        fitted: task or variant → what was fitted; one that is missing stayed as it was.
        left: task or variant → why it stayed as it was.
        failures: local patients that could not be read or that a gate refused.
        notes: for the user.
    """

    folder: Path
    fitted: Mapping[str, Fitted]
    left: Mapping[str, str]
    failures: tuple[CaseFailure, ...]
    notes: tuple[str, ...]


def check_target(out: Path) -> None:
    """Raise InputError where the folder for the new run is not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "The folder for the recalibrated run is not empty", path=out, remedy="Give a new folder"
        )


def local_patients(
    cases: Sequence[_Case], known: Sequence[bool], unknown: str, site: str, run: Path
) -> tuple[list[_Case], list[str]]:
    """The site's patients, none of whom the run has seen, and what is to be said of them.

    Args:
        cases: the cohort.
        known: whether each has a label.
        unknown: what those without lack, in words.
        site: name in the cohort column.
        run: the training run.

    Raises:
        InputError: no such site, patients of the training among its rows, or a patient twice.
    """
    rows = [(c, has) for c, has in zip(cases, known, strict=True) if c.cohort == site]
    if not rows:
        names = ", ".join(sorted({c.cohort for c in cases}))
        raise InputError(f"There is no cohort {site!r} in the table", remedy=f"Use one of {names}")
    notes = []
    seen = read_split(run) if (run / "split.csv").is_file() else None
    if seen is None:
        notes.append(
            "The run holds no split.csv, so it could not be checked whether these patients were in "
            "its training."
        )
    used = Counter(seen[c.patient_id] for c, _ in rows if c.patient_id in seen) if seen else None
    if used:
        sides = ", ".join(f"{count} in its {name} set" for name, count in sorted(used.items()))
        raise InputError(
            f"{sum(used.values())} of the {len(rows)} patients of {site!r} are in the run's own "
            f"training ({sides}): a recalibration on them would be too good",
            remedy="Use patients the model has never seen",
        )
    tests = sum(c.split == "test" for c, _ in rows)
    unclear = sum(not has and c.split != "test" for c, has in rows)
    if tests:
        notes.append(f"{tests} patients are marked 'test' and left out.")
    if unclear:
        notes.append(f"{unclear} patients have {unknown} and are left out.")
    local = [c for c, has in rows if c.split != "test" and has]
    twice = len(local) - len({c.patient_id for c in local})
    if twice:
        raise InputError(f"{twice} patient(s) of {site!r} are in the table twice")
    return local, notes


def fit_bundles(
    scored: Mapping[str, tuple[Sequence[float], Sequence[int]]],
    blocks: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    site: str,
    *,
    method: Method = "all",
    sensitivity: float | None = None,
) -> tuple[dict[str, Fitted], dict[str, str]]:
    """Fit every bundle's output, where it can be; and why it cannot where it cannot.

    Args:
        scored: task or variant → the network's own logits and the labels of its local patients.
        blocks: task or variant → metadata of its bundle.
        titles: task or variant → as messages name it.
        site: name of the local cohort.
        method, sensitivity: see `breastpredict.learning.recalibration.recalibrate`.

    Raises:
        InputError: no bundle can be fitted.
    """
    fitted: dict[str, Fitted] = {}
    left: dict[str, str] = {}
    for name, (logits, labels) in scored.items():
        try:
            fitted[name] = recalibrate(
                logits,
                labels,
                trained_threshold(blocks[name]),
                site,
                method=method,
                sensitivity=sensitivity,
            )
        except InputError as error:
            left[name] = str(error)
    if not fitted:
        raise InputError("; ".join(f"{titles[name]}: {why}" for name, why in left.items()))
    return fitted, left


def trained_threshold(block: Mapping[str, Any]) -> float:
    """The threshold of the training, on the sigmoid of the network's own logit."""
    return float(block.get("local_validation", {}).get("trained_threshold", block["threshold"]))


def copy_bundles(run: Path, out: Path, names: Sequence[str], fitted: Mapping[str, Fitted]) -> None:
    """Copy a run's bundles; those that were fitted become new versions of themselves.

    Args:
        run: folder of the bundles.
        out: folder of the new run.
        names: tasks or variants.
        fitted: what was fitted.
    """
    from breastpredict.models import copy_bundle

    for name in names:
        found = fitted.get(name)
        if found is None:
            copy_bundle(run / name, out / name)
        else:
            words = found.recalibration.words
            copy_bundle(run / name, out / name, bundle_changes(run / name, found), words)


def copy_run_files(run: Path, out: Path, *more: str) -> None:
    """Copy what a run has of ``RUN_FILES`` and of ``more``."""
    for name in (*RUN_FILES, *more):
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)


def bundle_changes(bundle: Path, found: Fitted) -> dict[str, Any]:
    """What becomes different in the bundle's metadata block."""
    from breastpredict.models import read_bundle_metadata

    block = read_bundle_metadata(bundle)["breastpredict"]
    local, n = found.recalibration, sum(found.patients.values())
    scaled = local.method != "threshold"
    calibration = dict(block.get("calibration", {}))
    if scaled:
        calibration = {
            "method": local.words,
            "probability": True,
            "prevalence": found.patients["positive"] / n,
            "trained": block.get("calibration", {}),
        }
    return {
        "threshold": found.threshold,
        "threshold_rule": f"{found.rule} ({local.site}); positive means score >= threshold",
        "calibration": calibration,
        "recalibration": asdict(local),
        "local_validation": {
            "patients": n,
            **found.patients,
            "site": local.site,
            "date": datetime.date.today().isoformat(),
            "method": local.method,
            "before": found.before,
            "after": found.after,
            "trained_threshold": trained_threshold(block),
            "note": "before and after on the patients it was fitted to: the latter is too good",
        },
    }
