"""Training the pCR networks on a hospital's own cohort: one bundle a variant, and the baseline.

The split is by patient, 8:1:1 (papers.md B1): ``train`` fits the weights, ``tuning`` chooses epoch
and threshold, ``validation`` is only reported. Multifocal patients are a cohort apart, scored at
the end (B12); rows marked external or test are not read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.learning.examples import (
    BinaryTask,
    EpochRecord,
    MultiInputExample,
    ScoredSet,
)
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.run_files import (
    CaseFailure,
    TaskResult,
    open_run,
    write_failures,
    write_run,
)
from breastpredict.learning.selection import Selection, select_variables
from breastpredict.learning.split import check_disjoint, stratified_split, three_way_split
from breastpredict.pcr.baseline import ORDERS, clinical_row, fit_clinical, write_baseline
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.clinical import NAMES
from breastpredict.pcr.facts import bundle_name
from breastpredict.pcr.inputs import clinical_values, require
from breastpredict.pcr.train_cache import KeptInputs, kept_inputs
from breastpredict.pcr.train_config import PcrTrainConfig
from breastpredict.pcr.train_files import PcrRun, read_run, write_scores, write_split

if TYPE_CHECKING:
    from breastpredict.learning.training import BinaryRun

Progress = Callable[[str, int, int, str], None]
"""Called with the stage, steps done, steps in all and a line for the log."""

POSITIVE, NEGATIVE = "pcr", "no_pcr"
_UNTOUCHED = ("external", "test")
_POOL = ("", "train", "validation")
_SETS: tuple[ScoredSet, ...] = ("train", "tuning", "validation", "apart")
_FITTED = ("train", "tuning")


@dataclass(frozen=True)
class _Prepared:
    case: PcrCase
    kept: KeptInputs


def train_pcr(
    cases: Sequence[PcrCase],
    out: Path,
    config: PcrTrainConfig | None = None,
    progress: Progress | None = None,
    *,
    resume: bool = False,
) -> PcrRun:
    """Train every variant and write the run folder.

    The folder then holds a bundle per variant, ``clinical_baseline.json``, ``run.json``,
    ``split.csv``, ``scores.csv`` (of every patient by the final models) and ``failures.csv``. A
    patient that cannot be prepared, or lacks what a variant takes, is a failure with a reason;
    training goes on without it.

    Args:
        cases: the cohort; rows without an outcome are left out and counted.
        out: run folder, new or empty; with ``resume`` one that holds this run.
        config: settings.
        progress: called along the way.
        resume: go on where a killed run stopped; a finished run is returned as it is.

    Raises:
        InputError: no usable cohort, a patient on two sides of the split, too few patients of a
            class, a run folder that holds something else.
    """
    config = config or PcrTrainConfig()
    say = progress or _silent
    out = Path(out)
    pool = _pool(cases)
    split = split_pool(pool, config.seed)
    _check_counts(pool, split, config.minimum_per_class)
    selection = _selection(pool, split, config)
    selected = NAMES if selection is None else selection.kept
    synthetic = _synthetic(pool)
    description = _description(pool, split, config, synthetic)
    if open_run(out, description, resume=resume):
        return read_run(out)
    write_split(out, _split_rows(pool, split))
    notes = _fit_baseline(out, pool, split)
    failures: list[CaseFailure] = []
    runs: list[BinaryRun] = []
    labels = {case.patient_id: int(bool(case.pcr)) for case in pool}
    for variant in config.variants:
        network = config.network(variant, selected)
        prepared, failed = _prepare(pool, out / "inputs", network, config, variant, say)
        failures += failed
        write_failures(out, failures)
        _check_counts([p.case for p in prepared], split, config.minimum_per_class)
        about = {
            "variant": variant,
            "input": config.policy.to_json(),
            "input_words": config.policy.words,
            "sites": _sites(prepared),
            "split_rule": description["split"]["rule"],
            **({"clinical_selection": selection.to_json()} if selection else {}),
        }
        runs.append(_train_variant(variant, prepared, split, out, config, network, about, say))
    write_scores(out, _score_rows(runs))
    write_run(
        out,
        description,
        finished=True,
        tasks=[asdict(_result(run)) for run in runs],
        counts=_counts(split, labels),
        notes=notes,
    )
    for run in runs:  # the bundles hold the weights; the state of the optimiser is done with
        (out / "training" / run.task.name / "checkpoint.pt").unlink(missing_ok=True)
    shutil.rmtree(out / "inputs", ignore_errors=True)
    return read_run(out)


def split_pool(pool: Sequence[PcrCase], seed: int) -> dict[str, ScoredSet]:
    """Set of every patient of the pool: 8:1:1, stratified by outcome and subtype.

    Where rows are marked ``validation``, they are it, and one ninth of the others is ``tuning``.
    Multifocal patients are ``apart``.

    Raises:
        InputError: too few patients of an outcome.
    """
    single = [c for c in pool if c.focality != "multifocal"]
    found: dict[str, ScoredSet] = {
        c.patient_id: "apart" for c in pool if c.focality == "multifocal"
    }
    labels = {c.patient_id: int(bool(c.pcr)) for c in single}
    strata = {c.patient_id: str(c.clinical.subtype or "") for c in single}
    marked = {c.patient_id for c in single if c.split == "validation"}
    if not marked:
        found.update(three_way_split(labels, strata, seed=seed))
        return found
    inner = {p: str(label) for p, label in labels.items() if p not in marked}
    tuning = stratified_split(inner, 1 / 9, seed=seed)
    for patient in labels:
        found[patient] = (
            "validation" if patient in marked else "tuning" if patient in tuning else "train"
        )
    return found


def _pool(cases: Sequence[PcrCase]) -> list[PcrCase]:
    """The rows to train on, after the guards against leakage."""
    pool = [c for c in cases if c.split in _POOL and c.pcr is not None]
    if not pool:
        raise InputError(
            "The cohort has no row to train on",
            remedy="Rows need an outcome, and must not be marked external or test",
        )
    unmarked = sorted({c.cohort for c in pool if not c.split})
    if len(unmarked) > 1:
        raise InputError(
            f"Rows of {len(unmarked)} cohorts have no split, so it is unclear which are external",
            remedy="Mark them train, validation, external or test in the split column",
        )
    check_disjoint(
        {
            "train": [c.patient_id for c in pool if c.split != "validation"],
            "validation": [c.patient_id for c in pool if c.split == "validation"],
            "external or test": [c.patient_id for c in cases if c.split in _UNTOUCHED],
        }
    )
    return pool


def _check_counts(cases: Sequence[PcrCase], split: Mapping[str, ScoredSet], minimum: int) -> None:
    counts = Counter(c.pcr for c in cases if split[c.patient_id] != "apart")
    if min(counts[True], counts[False]) < minimum:
        raise InputError(
            f"Too few usable patients to train: {counts[True]} with a complete response, "
            f"{counts[False]} without; at least {minimum} of each",
            remedy="See failures.csv in the run folder, or add patients",
        )


def _selection(
    pool: Sequence[PcrCase], split: Mapping[str, ScoredSet], config: PcrTrainConfig
) -> Selection | None:
    """The clinical variables that pass on the training patients; None where none are chosen."""
    if config.clinical != "selected":
        return None
    members = [c for c in pool if split[c.patient_id] in _FITTED]
    found = select_variables(
        [clinical_row(c.clinical) for c in members],
        [int(bool(c.pcr)) for c in members],
        NAMES,
        ORDERS,
    )
    if not found.kept:
        raise InputError(
            "No clinical variable is related to the outcome in the training patients",
            remedy="Use --clinical ordinal, or the variant no-clinical",
        )
    return found


def _fit_baseline(out: Path, pool: Sequence[PcrCase], split: Mapping[str, ScoredSet]) -> list[str]:
    """Fit and keep the clinical baseline; what is to be said where there is none."""
    members = [
        c for c in pool if split[c.patient_id] in _FITTED and len(c.clinical.missing) < len(NAMES)
    ]
    try:
        baseline = fit_clinical([c.clinical for c in members], [int(bool(c.pcr)) for c in members])
    except InputError as error:
        return [f"There is no clinical baseline. {error}"]
    write_baseline(out, baseline)
    return []


def _prepare(
    pool: Sequence[PcrCase],
    folder: Path,
    network: Mapping[str, Any],
    config: PcrTrainConfig,
    variant: str,
    say: Progress,
) -> tuple[list[_Prepared], list[CaseFailure]]:
    needs = [name for name in network["modalities"] if name != "clinical"]
    size = int(network["image_size"])
    prepared: list[_Prepared] = []
    failures: list[CaseFailure] = []
    for done, case in enumerate(pool, start=1):
        try:
            require(case, needs)
            clinical_values(case.clinical, network["clinical"])
            prepared.append(_Prepared(case, kept_inputs(case, folder, needs, size, config.policy)))
            line = f"{variant}: read case {done}/{len(pool)}"
        except BreastPredictError as error:
            failures.append(CaseFailure(case.patient_id, f"variant {variant}: {error}"))
            line = f"{variant}: case {done}/{len(pool)} cannot be used: see failures.csv"
        say("read", done, len(pool), line)
    return prepared, failures


def _train_variant(
    variant: str,
    prepared: Sequence[_Prepared],
    split: Mapping[str, ScoredSet],
    out: Path,
    config: PcrTrainConfig,
    network: Mapping[str, Any],
    about: Mapping[str, Any],
    say: Progress,
) -> BinaryRun:
    from breastpredict.learning.training import train_binary

    task = BinaryTask(bundle_name(variant), POSITIVE, NEGATIVE)
    settings = config.training()
    examples: dict[ScoredSet, list[MultiInputExample]] = {name: [] for name in _SETS}
    for one in prepared:
        examples[split[one.case.patient_id]].append(_example(one, network))

    def epoch_done(record: EpochRecord) -> None:
        line = f"{task.name}  {record.line(settings.epochs)}"
        say(task.name, record.epoch, settings.epochs, line)

    fitted = [one for one in prepared if split[one.case.patient_id] in _FITTED]
    return train_binary(
        [*examples["train"], *examples["tuning"]],
        examples["validation"],
        task,
        out,
        apart=examples["apart"],
        network=network,
        weights=config.initial_weights,
        config=settings,
        tuning={example.key for example in examples["tuning"]},
        synthetic=_synthetic([one.case for one in prepared]),
        training_data=training_ranges([one.kept.features for one in fitted]),
        about=about,
        resume=True,  # the run folder was found to be this run's
        on_epoch=epoch_done,
    )


def _example(one: _Prepared, network: Mapping[str, Any]) -> MultiInputExample:
    sources: dict[str, Any] = dict(one.kept.files)
    if network["clinical"]:
        sources["clinical"] = clinical_values(one.case.clinical, network["clinical"])
    subtype = one.case.clinical.subtype
    label = int(bool(one.case.pcr))
    return MultiInputExample(one.case.patient_id, sources, label, f"{label} {subtype}")


def _sites(prepared: Sequence[_Prepared]) -> dict[str, dict[str, int]]:
    """Usable patients of each site and outcome."""
    counts = Counter((p.case.cohort, bool(p.case.pcr)) for p in prepared)
    return {
        site: {POSITIVE: counts[(site, True)], NEGATIVE: counts[(site, False)]}
        for site in sorted({p.case.cohort for p in prepared})
    }


def _synthetic(pool: Sequence[PcrCase]) -> bool:
    """Whether any case is a phantom, as the cohort's own ``synthetic`` column says."""
    return any(str(c.extra.get("synthetic", "")).strip() == "1" for c in pool)


def _description(
    pool: Sequence[PcrCase],
    split: Mapping[str, ScoredSet],
    config: PcrTrainConfig,
    synthetic: bool,
) -> dict[str, Any]:
    """What defines the run; a resumed run must have the same."""
    rows = sorted((c.patient_id, c.cohort, c.split, str(c.focality), str(c.pcr)) for c in pool)
    settings = {
        k: v for k, v in config.training().to_json().items() if k not in ("device", "workers")
    }
    return {
        "synthetic": synthetic,
        "config": {
            "preset": config.preset,
            "variants": list(config.variants),
            "recipe": config.recipe,
            "weights": str(config.initial_weights),
            "clinical": config.clinical,
            "minimum_per_class": config.minimum_per_class,
            **config.policy.to_json(),
            **settings,
        },
        "cases": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        "split": {
            "rule": "validation as marked in the cohort, one ninth of the others for tuning"
            if any(c.split == "validation" for c in pool)
            else "8:1:1 by patient, stratified by outcome and subtype",
            "tuning": "early stopping and threshold",
            "apart": "multifocal tumours, scored at the end only",
            "patients": dict(sorted(Counter(split.values()).items())),
        },
    }


def _split_rows(pool: Sequence[PcrCase], split: Mapping[str, ScoredSet]) -> list[dict[str, Any]]:
    return [
        {
            "patient_id": c.patient_id,
            "cohort": c.cohort,
            "pcr": int(bool(c.pcr)),
            "set": split[c.patient_id],
        }
        for c in pool
    ]


def _score_rows(runs: Sequence[BinaryRun]) -> list[dict[str, Any]]:
    return [
        {
            "task": run.task.name,
            "points_to": run.task.positive,
            "patient_id": score.key,
            "set": score.set,
            "out_of_sample": int(score.set not in _FITTED),
            "label": score.label,
            "score": score.score,
            "threshold": run.threshold,
            "above": int(score.score >= run.threshold),
        }
        for run in runs
        for score in run.scores
    ]


def _result(run: BinaryRun) -> TaskResult:
    return TaskResult(
        run.task.name,
        run.task.positive,
        run.threshold,
        run.calibration.prevalence,
        len(run.history),
        {name: area._asdict() for name, area in run.auc.items()},
    )


def _counts(split: Mapping[str, ScoredSet], labels: Mapping[str, int]) -> dict[str, dict[str, int]]:
    counts = Counter((name, labels[patient]) for patient, name in split.items())
    return {
        name: {POSITIVE: counts[(name, 1)], NEGATIVE: counts[(name, 0)]}
        for name in _SETS
        if counts[(name, 0)] or counts[(name, 1)]
    }


def _silent(stage: str, done: int, total: int, line: str) -> None:
    pass
