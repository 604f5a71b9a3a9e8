"""The files of a training run: run.json, split.csv, scores.csv, failures.csv.

They stay in the run folder beside the bundles; those with a ``patient_id`` are for the owner of the
cohort and are not part of a bundle.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_text

RUN_FILE = "run.json"


@dataclass(frozen=True)
class CaseFailure:
    """A case that training went on without."""

    patient_id: str
    reason: str


@dataclass(frozen=True)
class TaskResult:
    """How one bundle came out.

    Attributes:
        task: its name, which is also the name of the bundle's folder.
        points_to: class the score points to.
        threshold: on the score; positive means at least this.
        prevalence: share of ``points_to`` among the training cases.
        epochs: number of epochs trained.
        auc: ``{set: {"value", "low", "high"}}`` for every scored set that has both classes.
    """

    task: str
    points_to: str
    threshold: float
    prevalence: float
    epochs: int
    auc: Mapping[str, Mapping[str, float]]


def open_run(folder: Path, description: Mapping[str, Any], *, resume: bool) -> bool:
    """Claim the run folder; True when it already holds the finished run.

    Raises:
        InputError: it holds a run and ``resume`` is not asked for, or a run of another
            configuration or other cases.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(
                "The folder for the run is not empty and holds no run",
                path=folder,
                remedy="Give an empty or a new folder",
            )
        write_run(folder, description, finished=False)
        return False
    stored = _read_json(path)
    if not resume:
        raise InputError(
            "The folder already holds a training run",
            path=folder,
            remedy="Give --resume to go on with it, or another folder",
        )
    # Through JSON, so that tuples and paths compare as they are stored.
    wanted = json.loads(json.dumps(description, default=str))
    differing = sorted(_differences(stored, wanted))
    if differing:
        raise InputError(
            f"The run in this folder was started with other {', '.join(differing)}",
            path=folder,
            remedy="Resume it with the settings and cohort it was started with",
        )
    return bool(stored.get("finished"))


def write_run(
    folder: Path, description: Mapping[str, Any], *, finished: bool, **results: Any
) -> None:
    """Write run.json: what was asked for and, when finished, what came out."""
    synthetic = bool(description["synthetic"])
    content = {
        "software": f"BreastPredict {__version__}",
        "research_use_only": RESEARCH_USE_ONLY,
        **({"warning": SYNTHETIC_WARNING} if synthetic else {}),
        **description,
        "finished": finished,
        **results,
    }
    write_text(folder / RUN_FILE, json.dumps(content, indent=2, default=str) + "\n")


def read_finished(folder: Path) -> dict[str, Any]:
    """run.json of a finished run.

    Raises:
        InputError: there is none, or it is not finished.
    """
    content = _read_json(folder / RUN_FILE)
    if not content.get("finished"):
        raise InputError(
            "The training in this folder is not finished", path=folder, remedy="Give --resume"
        )
    return content


def read_failures(folder: Path) -> tuple[CaseFailure, ...]:
    """The rows of failures.csv."""
    return tuple(CaseFailure(**row) for row in read_table(folder / "failures.csv"))


def write_failures(folder: Path, failures: Sequence[CaseFailure]) -> None:
    """Write failures.csv, also when there are none: an empty table is an answer."""
    write_table(folder / "failures.csv", ("patient_id", "reason"), map(asdict, failures))


def read_split(folder: Path) -> dict[str, str]:
    """Patient → set, of split.csv.

    Raises:
        InputError: the folder holds no training run, or its split is damaged.
    """
    path = Path(folder) / "split.csv"
    if not path.is_file():
        raise InputError("The folder holds no training run", path=folder)
    try:
        return {row["patient_id"]: row["set"] for row in read_table(path)}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise InputError("The split of the training is damaged", path=path) from error


def read_scores(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a scores.csv.

    Raises:
        InputError: it is damaged or has other columns.
    """
    try:
        rows = read_table(path)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError("The table of scores is damaged", path=path) from error
    if any(set(row) != set(columns) or None in row.values() for row in rows):
        raise InputError("The table of scores has other columns", path=path)
    return rows


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[str]:
    for name, value in wanted.items():
        old = stored.get(name)
        if name == "config" and isinstance(old, dict):
            yield from (key for key in value if old.get(key) != value[key])
        elif old != value:
            yield name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("The folder holds no training run", path=path.parent) from error
    except (OSError, ValueError) as error:
        raise InputError("The description of the training run is damaged", path=path) from error
    if not isinstance(content, dict):
        raise InputError("The description of the training run is damaged", path=path)
    return content


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV with a header, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
