"""HER2 cohorts: what a batch is told of the system."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breastpredict import __version__
from breastpredict.dicom import Study, read_study, source_files
from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2 import (
    Her2Case,
    Her2Facts,
    Her2Model,
    Her2Outputs,
    Her2Prediction,
    PreparedCase,
)
from breastpredict.her2.facts import Explain
from breastpredict.study.batch import BatchResult, Cluster, Limits, Progress
from breastpredict.study.case_output import write_case, write_refused
from breastpredict.study.results import PREDICTIONS
from breastpredict.study.review import Column, Layout
from breastpredict.study.whole_cohort import predict_cohort

REVIEW = Layout(
    system="her2",
    title="HER2 status from breast DCE-MRI",
    table=PREDICTIONS,
    output=("predicted_class", "Class"),
    words={name: f"HER2-{name}" for name in ("zero", "low", "positive")},
    columns=(
        Column("p_zero", "HER2-zero"),
        Column("p_low", "HER2-low"),
        Column("p_positive", "HER2-positive"),
        Column("task1_score", "Task 1", "score", "task1_threshold"),
        Column("task2_score", "Task 2", "score", "task2_threshold"),
    ),
    explained="Each task's score stands beside its threshold.",
)
"""Of the review page."""


def run_batch(
    cases: Sequence[Her2Case],
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    explain: Explain | None = "attention",
    override_gates: Sequence[str] = (),
    progress: Progress | None = None,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
) -> BatchResult:
    """Predict every case; a failed one costs a row in failures.csv, never the batch.

    A case is done when its folder and its row are there and were made from what it would be made
    from now: the same model, map, overridden gates, study, mask and version. A second run does
    the others only.

    With a cluster, its workers do the cases, on ``device``; the paths of cases must be absolute.

    Raises:
        InputError: no usable model or results folder, another run writes into it, or no cluster.
        OSError: the results folder is full or gone; what is done stays.
    """
    return predict_cohort(
        cases,
        partial(load_her2, explain=explain, override_gates=tuple(override_gates)),
        run,
        out,
        REVIEW,
        module=__name__,
        device=device,
        progress=progress,
        limits=limits,
        cluster=cluster,
    )


def load_her2(
    run: str | os.PathLike[str], device: str, explain: Explain | None, override_gates: Sequence[str]
) -> Her2System:
    """The system of a run, as `run_batch` is told of it."""
    return Her2System(Her2Model.load(run, device), explain, override_gates)


class Her2System:
    """A loaded model; see `breastpredict.study.batch.System`.

    Args:
        model: it.
        explain: the map; None for none.
        override_gates: gates that may not refuse.
    """

    name = "her2"
    columns = PREDICTIONS
    together = 8

    def __init__(
        self, model: Her2Model, explain: Explain | None, override_gates: Sequence[str]
    ) -> None:
        self._model = model
        self._explain = explain
        self.work = Her2Work(model.facts, tuple(override_gates))
        self.settings = [
            __version__,
            # Weights by their hash, and thresholds and ranges, which change without them.
            *(json.dumps(block, sort_keys=True) for block in model.facts.blocks.values()),
            str(explain),
            *sorted(set(override_gates)),
        ]

    def run(self, inputs: Sequence[NDArray[np.float32]]) -> list[Her2Outputs]:
        """What the networks say of images ``[1, S, S]``, one after the other.

        One image at a time gives the very numbers of ``predict``, whichever cases wait together.
        Stacked, an image's logit changes by some 1e-7 with the size of the stack, and which cases
        wait together is chance. On a processor that costs a sixth of the networks' throughput,
        which is a small part of a case (Testing/benchmarks).
        """
        return [self._model.outputs(image, self._explain) for image in inputs]


@dataclass(frozen=True)
class Her2Work:
    """Reading and writing of HER2 cases; see `breastpredict.study.batch.CaseWork`."""

    facts: Her2Facts
    override_gates: tuple[str, ...]

    def stamp(self, case: Her2Case) -> Iterator[str]:
        """Reading options; name, size and time of every file."""
        yield _reading(case)
        # What cannot be read is said where it is used.
        with contextlib.suppress(OSError, InputError):
            for path in (*source_files(case.study), case.segmentation):
                if path is not None:
                    stat = path.stat()
                    name = os.path.relpath(path, case.study)
                    yield f"{name} {stat.st_size} {stat.st_mtime_ns}"

    def open(self, case: Her2Case) -> Study:
        """The study's headers."""
        if case.segmentation is None:
            raise InputError("The case has no segmentation", path=case.study)
        return read_study(case.study, study_uid=case.reading.get("study_uid"))

    def identity(self, case: Her2Case, opened: Study) -> Iterator[str]:
        """Reading options, UIDs of the slices, sizes of all files, and the mask's content.

        Loaded volumes have no UIDs, and are edited: of them the content.
        """
        yield _reading(case)
        yield opened.study_uid
        for acquisition in opened.dce:
            for phase in acquisition.phases:
                yield from (instance.sop_instance_uid for instance in phase.instances)
        files = source_files(case.study)
        yield " ".join(map(str, sorted(path.stat().st_size for path in files)))
        if not opened.study_uid:
            yield from map(_digest, files)
        if case.segmentation is not None:
            yield _digest(case.segmentation)

    def prepare(self, case: Her2Case, opened: Study) -> PreparedCase:
        """The case as the model sees it."""
        return self.facts.prepare(opened, segmentation=case.segmentation, **case.reading)

    def check(self, held: PreparedCase) -> tuple[str, ...]:
        """What was overridden, in words."""
        return self.facts.check(held, self.override_gates)

    def inputs(self, held: PreparedCase) -> NDArray[np.float32]:
        """The image ``[1, S, S]``."""
        return held.image

    def write(
        self, held: PreparedCase, notes: tuple[str, ...], outputs: Her2Outputs, folder: Path
    ) -> dict[str, Any]:
        """The case's folder and its row."""
        prediction = self.facts.prediction(held, outputs, notes)
        write_case(folder, prediction)
        return prediction_row(prediction)

    def refuse(self, held: PreparedCase | None, refusal: GateRefusal, folder: Path) -> None:
        """The folder of a refused case."""
        write_refused(folder, refusal, held, self.facts)


def prediction_row(prediction: Her2Prediction) -> dict[str, Any]:
    """The row of predictions.csv."""
    first, second = prediction.scores
    return {
        **{f"p_{name}": repr(value) for name, value in prediction.probabilities.items()},
        "predicted_class": prediction.predicted_class,
        "task1_score": repr(first.score),
        "task1_points_to": first.points_to,
        "task1_threshold": repr(first.threshold),
        "task2_score": repr(second.score),
        "task2_points_to": second.points_to,
        "task2_threshold": repr(second.threshold),
        "synthetic": int(prediction.synthetic),
        "overrides": " ".join(prediction.overrides),
        "note": "research use only",
    }


def _reading(case: Her2Case) -> str:
    return json.dumps(dict(case.reading), sort_keys=True)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
