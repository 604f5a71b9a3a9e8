"""pCR patients into a results folder: a cohort, or one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from breastpredict import __version__
from breastpredict.errors import GateRefusal
from breastpredict.pcr import (
    MAP_METHODS,
    MapMethod,
    MaskRoi,
    PcrCase,
    PcrFacts,
    PcrInputs,
    PcrModel,
    PcrOutputs,
    PcrPrediction,
    PreparedPcr,
)
from breastpredict.study.batch import BatchResult, Cluster, Limits, Progress
from breastpredict.study.pcr_output import write_pcr_case, write_pcr_refused
from breastpredict.study.results import Results
from breastpredict.study.review import Column, Layout
from breastpredict.study.whole_cohort import predict_cohort

COLUMNS = (
    "patient_id case_key cohort p_pcr threshold expected p_clinical variant interval_weeks "
    "synthetic overrides note"
).split()
"""Of predictions.csv."""

REVIEW = Layout(
    system="pcr",
    title="Complete response from serial ultrasound and biopsy",
    table=COLUMNS,
    output=("expected", "Complete response"),
    words={"1": "expected", "0": "not expected"},
    columns=(
        Column("p_pcr", "Score", "score", "threshold"),
        Column("p_clinical", "Clinical only"),
        Column("variant", "Variant", "text"),
        Column("interval_weeks", "Weeks"),
    ),
    explained="The score stands beside its threshold; weeks are those between the examinations.",
)
"""Of the review page."""

_WHOLE = 32_000_000  # bytes; of a larger file the ends are read: a slide is sent again, not edited
_END = 1_000_000


@dataclass(frozen=True)
class _Held:
    """A prepared patient and the variant that is for it."""

    variant: str
    prepared: PreparedPcr


def run_pcr_batch(
    cases: Sequence[PcrCase],
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    variant: str | None = None,
    explain: Sequence[MapMethod] = MAP_METHODS,
    override_gates: Sequence[str] = (),
    progress: Progress | None = None,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
) -> BatchResult:
    """Predict every patient; a failed one costs a row in failures.csv, never the batch.

    A second run does only what is missing, failed or changed: files, regions, clinical variables,
    model, options or version.

    Args:
        cases: the cohort.
        run: of the training.
        out: results folder.
        device: of the networks.
        variant: of the run; None: for each patient the one that takes the most of what there is.
        explain: the maps to make.
        override_gates: gates that may not refuse.
        progress: called with cases done, cases in all and a line.
        limits: of the processes.
        cluster: does the cases, on ``device``; their paths must be absolute.

    Raises:
        InputError: no usable model or results folder, another run writes into it, or no cluster.
        OSError: the results folder is full or gone; what is done stays.
    """
    return predict_cohort(
        cases,
        partial(
            load_pcr,
            variant=variant,
            explain=tuple(explain),
            override_gates=tuple(override_gates),
        ),
        run,
        out,
        REVIEW,
        module=__name__,
        device=device,
        progress=progress,
        limits=limits,
        cluster=cluster,
    )


def predict_pcr_case(
    case: PcrCase,
    model: PcrModel,
    out: str | os.PathLike[str],
    *,
    variant: str | None = None,
    explain: Sequence[MapMethod] = MAP_METHODS,
    override_gates: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[Path, PcrPrediction]:
    """Prepare, predict and write one patient; returns the folder and the prediction.

    Args:
        case: the patient.
        model: loaded once, for many.
        out: results folder. Nothing is written there when the input cannot be used.
        variant, explain, override_gates: as in `run_pcr_batch`.
        progress: called with steps done, steps in all and what is being done.

    Raises:
        InputError: unusable input.
        GateRefusal: a gate refused; the reason is written, and no number.
    """
    say = progress or (lambda done, total, line: None)
    prepared: PreparedPcr | None = None
    name: str | None = None
    try:
        say(0, 3, "reading")
        name, prepared = model.prepare(case, variant)
        say(1, 3, "predicting")
        prediction = model.predict(name, prepared, explain, override_gates)
    except GateRefusal as refusal:
        results = pcr_results(out)
        key = _key(results, case)
        with results.opened() as ledger:
            write_pcr_refused(results.folder / key, refusal, prepared, model.facts, name)
            row = {**_of(case), "stage": f"gate {refusal.gate}", "reason": refusal.reason}
            ledger.record(key, "failed", row)
        raise
    say(2, 3, "writing")
    results = pcr_results(out)
    key = _key(results, case)
    with results.opened() as ledger:
        write_pcr_case(results.folder / key, prediction)
        ledger.record(key, "predicted", {**_of(case), **prediction_row(prediction)})
    say(3, 3, "done")
    return results.folder / key, prediction


def pcr_results(out: str | os.PathLike[str]) -> Results:
    """The results folder of the system."""
    return Results(out, "pcr", COLUMNS)


def load_pcr(
    run: str | os.PathLike[str],
    device: str,
    variant: str | None,
    explain: Sequence[MapMethod],
    override_gates: Sequence[str],
) -> PcrSystem:
    """The system of a run, as `run_pcr_batch` is told of it."""
    return PcrSystem(PcrModel.load(run, device), variant, explain, override_gates)


class PcrSystem:
    """A loaded model; see `breastpredict.study.batch.System`.

    Args:
        model: it.
        variant, explain, override_gates: as in `run_pcr_batch`.
    """

    name = "pcr"
    columns = COLUMNS
    together = 1  # nine patches and two images a patient fill the processor by themselves

    def __init__(
        self,
        model: PcrModel,
        variant: str | None,
        explain: Sequence[MapMethod],
        override_gates: Sequence[str],
    ) -> None:
        self._model = model
        self._explain = tuple(explain)
        self.work = PcrWork(model.facts, variant, tuple(override_gates))
        baseline = model.facts.baseline
        self.settings = [
            __version__,
            *(json.dumps(block, sort_keys=True) for block in model.facts.blocks.values()),
            "" if baseline is None else repr(baseline.baseline.coefficients),
            str(variant),
            *self._explain,
            *sorted(set(override_gates)),
        ]

    def run(self, inputs: Sequence[PcrInputs]) -> list[PcrOutputs]:
        """What the network says of patients, one after the other, as `PcrModel.predict`."""
        return [self._model.outputs(one, self._explain) for one in inputs]


@dataclass(frozen=True)
class PcrWork:
    """Reading and writing of patients; see `breastpredict.study.batch.CaseWork`."""

    facts: PcrFacts
    variant: str | None
    override_gates: tuple[str, ...]

    def stamp(self, case: PcrCase) -> Iterator[str]:
        """What the table says, and name, size and time of every file."""
        yield _told(case)
        with contextlib.suppress(OSError):  # what cannot be read is said where it is used
            for path in _files(case):
                stat = path.stat()
                yield f"{path} {stat.st_size} {stat.st_mtime_ns}"

    def open(self, case: PcrCase) -> PcrCase:
        """The case: its files are read when they are prepared."""
        return case

    def identity(self, case: PcrCase, opened: PcrCase) -> Iterator[str]:
        """What the table says, and the content of every file."""
        yield _told(case)
        with contextlib.suppress(OSError):
            yield from map(_fingerprint, _files(case))

    def prepare(self, case: PcrCase, opened: PcrCase) -> _Held:
        """The patient as the variant sees it."""
        return _Held(*self.facts.prepare(case, self.variant))

    def check(self, held: _Held) -> tuple[str, ...]:
        """What was overridden, in words."""
        return self.facts.check(held.variant, held.prepared, self.override_gates)

    def inputs(self, held: _Held) -> PcrInputs:
        """The variant's arrays."""
        return PcrInputs(held.variant, held.prepared.inputs)

    def write(
        self, held: _Held, notes: tuple[str, ...], outputs: PcrOutputs, folder: Path
    ) -> dict[str, Any]:
        """The patient's folder and row."""
        prediction = self.facts.prediction(held.variant, held.prepared, outputs, notes)
        write_pcr_case(folder, prediction)
        return prediction_row(prediction)

    def refuse(self, held: _Held | None, refusal: GateRefusal, folder: Path) -> None:
        """The folder of a refused patient."""
        if held is None:
            write_pcr_refused(folder, refusal, None, self.facts)
        else:
            write_pcr_refused(folder, refusal, held.prepared, self.facts, held.variant)


def prediction_row(prediction: PcrPrediction) -> dict[str, Any]:
    """The row of predictions.csv."""
    pair = prediction.prepared.pair
    weeks = None if pair is None else pair.interval_weeks
    return {
        "p_pcr": repr(prediction.score.score),
        "threshold": repr(prediction.score.threshold),
        "expected": int(prediction.expected),
        "p_clinical": "" if prediction.baseline is None else repr(prediction.baseline),
        "variant": prediction.variant,
        "interval_weeks": "" if weeks is None else repr(weeks),
        "synthetic": int(prediction.synthetic),
        "overrides": " ".join(prediction.overrides),
        "note": "research use only",
    }


def _of(case: PcrCase) -> dict[str, str]:
    return {"patient_id": case.patient_id, "cohort": case.cohort}


def _key(results: Results, case: PcrCase) -> str:
    """By the patient where there is one, as in a batch, else by the files."""
    if case.patient_id:
        return results.key("patient", case.patient_id)
    return results.key("files", *(str(path.resolve()) for path in _sources(case)))


def _sources(case: PcrCase) -> Iterator[Path]:
    """The images, as they are named."""
    for one in (case.us0, case.us1):
        if one is not None:
            yield one.path
    if case.pathology is not None:
        yield case.pathology


def _files(case: PcrCase) -> Iterator[Path]:
    """Every file that the result depends on."""
    for path in _sources(case):
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)
    for one in (case.us0, case.us1):
        if one is not None and isinstance(one.roi, MaskRoi):
            yield from one.roi.paths


def _told(case: PcrCase) -> str:
    """All of the table that the result depends on."""
    times = {
        name: None if one is None else [str(one.roi), one.frame, one.region, one.date]
        for name, one in (("us0", case.us0), ("us1", case.us1))
    }
    slide = [case.pathology_region, case.pathology_mpp]
    return json.dumps([times, slide, asdict(case.clinical), case.laterality], sort_keys=True)


def _fingerprint(path: Path) -> str:
    """Size and content; of a large file the content of both ends."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= _WHOLE:
            return f"{size} {hashlib.file_digest(file, 'sha256').hexdigest()}"
        digest = hashlib.sha256(file.read(_END))
        file.seek(-_END, os.SEEK_END)
        digest.update(file.read(_END))
    return f"{size} {digest.hexdigest()}"
