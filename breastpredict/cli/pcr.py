"""The commands of the pCR system."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli import pcr_deidentify, pcr_describe, pcr_evaluate, pcr_verify
from breastpredict.cli.batch import (
    add_cohorts,
    add_limits,
    chosen,
    cluster_of,
    limits_of,
    tell_batch,
)
from breastpredict.cli.progress import Stages, Steps, say
from breastpredict.cli.recalibrate import add_recalibrate, recalibration_of, tell_recalibration
from breastpredict.cli.review import add_review
from breastpredict.errors import InputError
from breastpredict.models.pcr_network import PCR_PRESETS, PCR_VARIANTS

if TYPE_CHECKING:
    from breastpredict.pcr import PcrCase


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of the pCR system to the parser."""
    pcr = commands.add_parser("pcr", help="pCR from ultrasound, biopsy slide, clinical variables")
    tasks = pcr.add_subparsers(required=True, metavar="COMMAND")

    cohort = tasks.add_parser("cohort", parents=[common], help="check a cohort table")
    cohort.add_argument("cohort", type=Path, metavar="COHORT.csv")
    cohort.add_argument("--json", action="store_true", help="for programs")
    cohort.set_defaults(run=_cohort)

    _add_train(tasks, common)

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", type=Path, required=True, metavar="RUN")
    model.add_argument("--out", type=Path, required=True, metavar="OUT")
    model.add_argument(
        "--variant", metavar="NAME", help="of the run; else the one that takes the most of a case"
    )
    model.add_argument(
        "--explain", choices=("both", "gradcam", "occlusion", "none"), default="both"
    )
    model.add_argument("--override-gate", action="append", default=[], metavar="NAME")
    model.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|...")

    _add_predict(tasks, [common, model])

    batch = tasks.add_parser("batch", parents=[common, model], help="a cohort")
    batch.add_argument("cohort", type=Path, metavar="COHORT.csv")
    add_cohorts(batch)
    add_limits(batch)
    batch.set_defaults(run=_batch)
    add_review(tasks, common, "pcr")

    add_recalibrate(tasks, common, _recalibrate)

    pcr_evaluate.add_command(tasks, common)
    pcr_verify.add_command(tasks, common)
    pcr_deidentify.add_command(tasks, common)
    pcr_describe.add_command(tasks, common)


def _add_train(tasks: Any, common: argparse.ArgumentParser) -> None:
    train = tasks.add_parser("train", parents=[common], help="train on a cohort")
    train.add_argument("cohort", type=Path, metavar="COHORT.csv")
    train.add_argument("--out", type=Path, required=True, metavar="RUN")
    train.add_argument("--network", choices=PCR_PRESETS, default="se-crosst-t")
    train.add_argument(
        "--variants",
        default="full",
        metavar="NAME,NAME",
        help=f"a bundle for each: {', '.join(PCR_VARIANTS)} (default %(default)s)",
    )
    train.add_argument(
        "--recipe", choices=("ours", "paper"), default="ours", help="paper: with its hazards said"
    )
    train.add_argument(
        "--weights", metavar="imagenet|none|FILE", help="what the networks start from"
    )
    train.add_argument(
        "--clinical",
        choices=("ordinal", "one-hot", "selected"),
        default="ordinal",
        help="selected: those related to the outcome in the training patients",
    )
    train.add_argument("--margin", type=float, default=0.2, help="around the tumour, share of it")
    train.add_argument(
        "--scale",
        choices=("linked", "own"),
        default="linked",
        help="linked: US-0 and US-1 at one scale, so that shrinking is seen",
    )
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--micro-batch", type=int, help="cases in the network at once (memory)")
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="auto", metavar="auto|cpu|cuda|...")
    train.add_argument("--mixed-precision", action="store_true", help="float16 on a CUDA device")
    train.add_argument("--resume", action="store_true", help="go on with a killed run")
    train.set_defaults(run=_train)


def _add_predict(tasks: Any, parents: list[argparse.ArgumentParser]) -> None:
    predict = tasks.add_parser("predict", parents=parents, help="one patient")
    predict.add_argument(
        "table",
        type=Path,
        nargs="?",
        metavar="COHORT.csv",
        help="with --patient: the patient's row; without it, the options below",
    )
    predict.add_argument("--patient", metavar="ID", help="of the table")
    for time in ("us0", "us1"):
        predict.add_argument(f"--{time}", type=Path, metavar="FILE", help="DICOM or picture")
        predict.add_argument(
            f"--{time}-roi",
            metavar="ROI",
            help="masks with ; between, box:x0,y0,x1,y1 or point:x,y,side (pixels of the frame)"
            + ("; us0: the tumour is no longer visible" if time == "us1" else ""),
        )
        predict.add_argument(f"--{time}-frame", type=int, metavar="N")
        predict.add_argument(f"--{time}-region", type=int, metavar="N")
        predict.add_argument(f"--{time}-date", metavar="YYYY-MM-DD")
    predict.add_argument("--pathology", type=Path, metavar="FILE", help="slide or picture")
    predict.add_argument(
        "--pathology-region", metavar="X,Y,W,H", help="pixels of the largest image"
    )
    predict.add_argument("--mpp", type=float, help="microns per pixel, where the file tells none")
    predict.add_argument("--subtype", help="HR+/HER2-, HR+/HER2+, HR-/HER2+, TN")
    predict.add_argument("--er", help="negative, low, positive")
    predict.add_argument("--ki67", help="percent")
    predict.add_argument(
        "--regimen", help="anthracycline+taxane, taxane, taxane+platinum, anti-HER2"
    )
    predict.add_argument("--laterality", choices=("R", "L"))
    predict.add_argument("--json", action="store_true", help="print the result for programs")
    predict.set_defaults(run=_predict)


def _cohort(options: argparse.Namespace) -> int:
    from breastpredict.study import read_pcr_cohort

    cases = read_pcr_cohort(options.cohort)
    found: dict[str, dict[str, int]] = {}
    for case in cases:
        counts = found.setdefault(
            case.cohort,
            {"patients": 0, "pcr": 0, "no_pcr": 0, "unknown": 0, "multifocal": 0, "warnings": 0},
        )
        counts["patients"] += 1
        outcome = "unknown" if case.pcr is None else "pcr" if case.pcr else "no_pcr"
        counts[outcome] += 1
        counts["multifocal"] += case.focality == "multifocal"
        counts["warnings"] += bool(case.warnings)
    if options.json:
        print(json.dumps({"cohorts": found}, indent=2))
        return 0
    for name, counts in found.items():
        print(
            f"{name}: {counts['patients']} patients, {counts['pcr']} with a complete response, "
            f"{counts['no_pcr']} without, {counts['unknown']} not known; "
            f"{counts['multifocal']} multifocal"
        )
        if counts["warnings"]:
            print(f"  {counts['warnings']} with clinical variables that contradict each other")
    return 0


def _train(options: argparse.Namespace) -> int:
    from breastpredict.learning.recipes import hazards
    from breastpredict.pcr import PcrPolicy
    from breastpredict.pcr.train import train_pcr
    from breastpredict.pcr.train_config import PcrTrainConfig
    from breastpredict.study import read_pcr_cohort

    cases = read_pcr_cohort(options.cohort)
    unknown = sum(case.pcr is None for case in cases)
    if unknown:
        say(f"{unknown} patients have no known outcome and are left out", options.quiet)
    config = PcrTrainConfig(
        preset=options.network,
        variants=tuple(name.strip() for name in options.variants.split(",") if name.strip()),
        recipe=options.recipe,
        weights=options.weights,
        clinical=options.clinical,
        policy=PcrPolicy(options.margin, options.scale),
        epochs=options.epochs,
        batch_size=options.batch_size,
        micro_batch=options.micro_batch,
        learning_rate=options.learning_rate,
        mixed_precision=options.mixed_precision,
        seed=options.seed,
        device=options.device,
    )
    for line in hazards(config.training()):
        say(f"Warning: {line}", options.quiet)
    run = train_pcr(cases, options.out, config, Stages(options.quiet), resume=options.resume)
    print(options.out)
    return 1 if run.failures else 0


def _predict(options: argparse.Namespace) -> int:
    from breastpredict.pcr import EXPLANATIONS, PcrModel
    from breastpredict.pcr.gates import GATES
    from breastpredict.study.pcr_batch import predict_pcr_case

    GATES.check_overrides(options.override_gate)
    case = _case_of_table(options) if options.table is not None else _case_of_options(options)
    folder, prediction = predict_pcr_case(
        case,
        PcrModel.load(options.model, options.device),
        options.out,
        variant=options.variant,
        explain=EXPLANATIONS[options.explain],
        override_gates=options.override_gate,
    )
    if options.json:
        print((folder / "result.json").read_text("utf-8"), end="")
        return 0
    score = prediction.score
    expected = "expected" if prediction.expected else "not expected"
    print(
        f"Complete response {expected}: {score.score:.3f}, threshold {score.threshold:.3f}, "
        f"variant {prediction.variant}" + (f"; {score.calibration}" if score.calibration else "")
    )
    if prediction.baseline is not None:
        print(f"Clinical variables only: {prediction.baseline:.3f}")
    for line in (*prediction.overrides, *prediction.prepared.warnings):
        print(line)
    if prediction.synthetic:
        print(SYNTHETIC_WARNING)
    print(RESEARCH_USE_ONLY)
    print(folder)
    return 0


def _case_of_table(options: argparse.Namespace) -> PcrCase:
    from breastpredict.study import read_pcr_cohort

    cases = read_pcr_cohort(options.table)
    if options.patient is None:
        if len(cases) == 1:
            return cases[0]
        raise InputError(
            f"The table has {len(cases)} patients",
            path=options.table,
            remedy="Name one with --patient",
        )
    for case in cases:
        if case.patient_id == options.patient:
            return case
    raise InputError("The table has no such patient", path=options.table)


def _case_of_options(options: argparse.Namespace) -> PcrCase:
    from breastpredict.pcr import case_of

    for time in ("us0", "us1"):
        if getattr(options, time) is not None and getattr(options, f"{time}_roi") is None:
            raise InputError(
                f"Where the tumour is on --{time} is not given", remedy=f"Give --{time}-roi"
            )
    times = [f"us{n}{what}" for n in (0, 1) for what in ("", "_roi", "_frame", "_region", "_date")]
    named = ("pathology", "pathology_region", "subtype", "er", "ki67", "regimen", "laterality")
    given = {name: getattr(options, name) for name in (*times, *named)}
    given["pathology_mpp"] = options.mpp
    return case_of({name: str(value) for name, value in given.items() if value is not None})


def cases_of(options: argparse.Namespace) -> list[PcrCase]:
    """The cases that ``batch`` was asked to do.

    Raises:
        InputError: they cannot be read, or there is no such cohort.
    """
    from breastpredict.study import read_pcr_cohort

    return chosen(read_pcr_cohort(options.cohort), options)


def _batch(options: argparse.Namespace) -> int:
    from breastpredict.pcr import EXPLANATIONS
    from breastpredict.pcr.gates import GATES
    from breastpredict.study.pcr_batch import run_pcr_batch

    GATES.check_overrides(options.override_gate)
    cluster = cluster_of(options)
    cases = cases_of(options)
    done = run_pcr_batch(
        cases,
        options.model,
        options.out,
        device=options.device,
        variant=options.variant,
        explain=EXPLANATIONS[options.explain],
        override_gates=options.override_gate,
        progress=Steps("batch", options.quiet, own_pace=True),
        limits=limits_of(options),
        cluster=cluster,
    )
    return tell_batch(done, options)


def _recalibrate(options: argparse.Namespace) -> int:
    from breastpredict.pcr.recalibrate import recalibrate_pcr
    from breastpredict.study import read_pcr_cohort

    done = recalibrate_pcr(read_pcr_cohort(options.cohort), **recalibration_of(options))
    return tell_recalibration(done, {}, options)
