"""``breastpredict her2 train | crops | predict | batch | review | recalibrate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli.batch import (
    add_cohorts,
    add_limits,
    chosen,
    cluster_of,
    limits_of,
    tell_batch,
)
from breastpredict.cli.evaluation import add_evaluation, evaluation_of
from breastpredict.cli.progress import Stages, Steps, say
from breastpredict.cli.recalibrate import add_recalibrate, recalibration_of, tell_recalibration
from breastpredict.cli.review import add_review
from breastpredict.errors import InputError

if TYPE_CHECKING:
    from breastpredict.her2 import Her2Case
    from breastpredict.her2.inputs import Point


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of the HER2 system to the parser."""
    her2 = commands.add_parser("her2", help="HER2-zero, -low, -positive from breast DCE-MRI")
    tasks = her2.add_subparsers(required=True, metavar="COMMAND")

    cohort = tasks.add_parser(
        "cohort", parents=[common], help="check a cohort table and count its inclusion flow"
    )
    cohort.add_argument("cohort", type=Path, metavar="COHORT.csv")
    cohort.add_argument("--model", type=Path, metavar="RUN", help="show the sets of this training")
    cohort.add_argument("--out", type=Path, metavar="FOLDER", help="for flow.svg and flow.json")
    cohort.add_argument("--json", action="store_true", help="for programs")
    cohort.set_defaults(run=_cohort)

    train = tasks.add_parser("train", parents=[common], help="train both tasks on a cohort")
    train.add_argument("cohort", type=Path, metavar="COHORT.csv")
    train.add_argument("--out", type=Path, required=True, metavar="RUN")
    train.add_argument(
        "--weights", metavar="imagenet|none|FILE", help="what the networks start from"
    )
    train.add_argument("--network", choices=("tiny", "reduced"), default="tiny")
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", default="auto", metavar="auto|cpu|cuda|...")
    train.add_argument("--resume", action="store_true", help="go on with a killed run")
    train.add_argument(
        "--folds", type=int, default=0, metavar="K", help="cross-validate: out-of-fold scores"
    )
    _add_region(train)
    train.add_argument(
        "--balance", choices=("loss", "sampler", "none"), help="how the smaller class gets weight"
    )
    train.add_argument(
        "--flips", action=argparse.BooleanOptionalAction, default=None, help="mirror and turn"
    )
    train.add_argument("--rotation", type=float, metavar="DEG", help="turn by up to ± this")
    train.add_argument("--gain", type=float, help="multiply the contrast by 1 ± this")
    train.add_argument("--offset", type=float, help="shift the intensity by ± this")
    train.add_argument("--noise", type=float, help="largest deviation of added noise")
    train.add_argument("--mixed-precision", action="store_true", help="float16 on a CUDA device")
    train.set_defaults(run=_train)

    crops = tasks.add_parser(
        "crops", parents=[common], help="network inputs of a cohort, for MONAI's bundle commands"
    )
    crops.add_argument("cohort", type=Path, metavar="COHORT.csv")
    crops.add_argument("--out", type=Path, required=True, metavar="CROPS")
    crops.add_argument("--network", choices=("tiny", "reduced"), default="tiny")
    crops.add_argument("--seed", type=int, default=0)
    _add_region(crops)
    crops.set_defaults(run=_crops)

    add_recalibrate(tasks, common, _recalibrate)

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", type=Path, required=True, metavar="RUN")
    model.add_argument("--out", type=Path, required=True, metavar="OUT")
    model.add_argument(
        "--explain", choices=("attention", "evidence", "rollout", "none"), default="attention"
    )
    model.add_argument("--override-gate", action="append", default=[], metavar="NAME")
    model.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|...")

    predict = tasks.add_parser("predict", parents=[common, model], help="one case")
    predict.add_argument(
        "case",
        type=Path,
        metavar="CASE",
        help="folder, DICOMDIR, zip or Slicer database of the study; or a table of loaded volumes",
    )
    predict.add_argument("--study-uid", metavar="UID", help="which study, where CASE holds several")
    predict.add_argument(
        "--segmentation", type=Path, metavar="FILE", help="DICOM SEG, RTSTRUCT, NRRD, NIfTI, .npy"
    )
    predict.add_argument("--segment", metavar="NAME", help="name or number of the tumour's segment")
    predict.add_argument(
        "--mask-order",
        metavar="ORDER",
        help="axes of a mask without a place in space, as its file has them: zyx, x,-y,z, ...",
    )
    predict.add_argument("--seed-point", metavar="X,Y,Z", help="a point in the tumour, mm")
    predict.add_argument("--box", metavar="X,Y,Z,X,Y,Z", help="a box around the tumour, mm")
    predict.add_argument("--coordinates", choices=("LPS", "RAS"), default="LPS")
    predict.add_argument("--laterality", choices=("R", "L"))
    predict.add_argument(
        "--acquisition", type=int, metavar="N", help="as inspect counts them, where several fit"
    )
    predict.add_argument("--phase", type=int, metavar="N", help="instead of the early phase")
    predict.add_argument(
        "--margin", type=float, help="around the tumour, share of its side; the model's own if none"
    )
    predict.add_argument(
        "--slice", type=int, metavar="K", help="from 0, instead of the largest cross-section"
    )
    predict.add_argument("--json", action="store_true", help="print the result for programs")
    predict.set_defaults(run=_predict)

    batch = tasks.add_parser(
        "batch", parents=[common, model], help="a cohort; again: what is missing, failed or changed"
    )
    batch.add_argument(
        "cohort",
        type=Path,
        metavar="COHORT.csv|FOLDER",
        help="a table; or a folder of case folders, each with the study (a folder or zip archive), "
        "the mask (a file) and nothing else",
    )
    add_cohorts(batch)
    add_limits(batch)
    batch.set_defaults(run=_batch)
    add_review(tasks, common, "her2")

    evaluate = tasks.add_parser(
        "evaluate", parents=[common], help="a cohort's predictions against its classes: a report"
    )
    add_evaluation(evaluate, model="tells whom the model has seen")
    evaluate.add_argument(
        "--clinical", action="append", default=[], metavar="COLUMN",
        help="a column of the clinical baseline; repeatable",
    )  # fmt: skip
    evaluate.set_defaults(run=_evaluate)


def _cohort(options: argparse.Namespace) -> int:
    from breastpredict.files import write_text
    from breastpredict.learning.run_files import read_split
    from breastpredict.study import flow_svg, inclusion_flow, read_cohort

    sets = read_split(options.model) if options.model is not None else None
    flows = inclusion_flow(read_cohort(options.cohort), sets)
    text = json.dumps({"cohorts": [flow.to_json() for flow in flows]}, indent=2)
    if options.out is not None:
        write_text(options.out / "flow.json", text + "\n")
        write_text(options.out / "flow.svg", flow_svg(flows))
    if options.json:
        print(text)
        return 0
    for flow in flows:
        classes = ", ".join(f"{name} {number}" for name, number in flow.classes.items())
        print(f"{flow.cohort}: {flow.patients} patients, {flow.included} included ({classes})")
        for reason, number in flow.excluded.items():
            print(f"  excluded: {number}: {reason}")
        if flow.sets:
            print(f"  sets: {', '.join(f'{name} {number}' for name, number in flow.sets.items())}")
    return 0


def _add_region(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--roi",
        choices=("square", "masked", "breast"),
        default="square",
        help="the tumour with its surroundings, the tumour alone, or its whole breast",
    )
    parser.add_argument("--margin", type=float, default=0.2, help="around the tumour, share of it")


def _train(options: argparse.Namespace) -> int:
    from breastpredict.her2 import Her2TrainConfig, train_her2
    from breastpredict.study import read_cohort

    cases = read_cohort(options.cohort)
    usable = [case for case in cases if case.her2 is not None]
    left_out = len(cases) - len(usable)
    if left_out:
        say(f"{left_out} cases are indeterminate (2+ without ISH) and left out", options.quiet)
    config = Her2TrainConfig(
        preset=options.network,
        weights=options.weights,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        balance=options.balance,
        flips=options.flips,
        rotation_deg=options.rotation,
        gain=options.gain,
        offset=options.offset,
        noise=options.noise,
        mixed_precision=options.mixed_precision,
        roi=options.roi,
        margin=options.margin,
        folds=options.folds,
        seed=options.seed,
        device=options.device,
    )
    run = train_her2(usable, options.out, config, Stages(options.quiet), resume=options.resume)
    print(options.out)
    return 1 if run.failures else 0


def _predict(options: argparse.Namespace) -> int:
    from breastpredict.her2 import GATES, Her2Model
    from breastpredict.study import predict_case

    GATES.check_overrides(options.override_gate)
    if options.margin is not None and not 0 <= options.margin <= 5:
        raise InputError("--margin must lie between 0 and 5")
    point = _points(options.seed_point, "--seed-point", 1, options.coordinates)
    box = _points(options.box, "--box", 2, options.coordinates)
    folder, prediction = predict_case(
        options.case,
        Her2Model.load(options.model, options.device),
        options.out,
        explain=None if options.explain == "none" else options.explain,
        override_gates=options.override_gate,
        segmentation=options.segmentation,
        seed_point_lps=point[0] if point else None,
        box_lps=(box[0], box[1]) if box else None,
        study_uid=options.study_uid,
        laterality=options.laterality,
        acquisition=options.acquisition,
        phase=options.phase,
        segment=options.segment,
        mask_order=options.mask_order,
        margin=options.margin,
        slice_index=options.slice,
    )
    if options.json:
        print((folder / "result.json").read_text("utf-8"), end="")
        return 0
    values = ", ".join(f"{name} {value:.3f}" for name, value in prediction.probabilities.items())
    print(f"HER2-{prediction.predicted_class} ({values})")
    for score in prediction.scores:
        print(
            f"{score.task}: {score.score:.3f} for {score.points_to.replace('_', ' ')}, "
            f"threshold {score.threshold:.3f}"
            + (f"; {score.calibration}" if score.calibration else "")
        )
    for line in (*prediction.overrides, *prediction.prepared.warnings):
        print(line)
    if prediction.synthetic:
        print(SYNTHETIC_WARNING)
    print(RESEARCH_USE_ONLY)
    print(folder)
    return 0


def cases_of(options: argparse.Namespace) -> list[Her2Case]:
    """The cases that ``batch`` was asked to do.

    Raises:
        InputError: they cannot be read, or there is no such cohort.
    """
    from breastpredict.study import read_case_folders, read_cohort

    read = read_case_folders if options.cohort.is_dir() else read_cohort
    return chosen(read(options.cohort), options)


def _batch(options: argparse.Namespace) -> int:
    from breastpredict.her2 import GATES
    from breastpredict.study import run_batch

    GATES.check_overrides(options.override_gate)
    cluster = cluster_of(options)
    limits = limits_of(options)
    cases = cases_of(options)
    done = run_batch(
        cases,
        options.model,
        options.out,
        device=options.device,
        explain=None if options.explain == "none" else options.explain,
        override_gates=options.override_gate,
        progress=Steps("batch", options.quiet, own_pace=True),
        limits=limits,
        cluster=cluster,
    )
    return tell_batch(done, options)


def _crops(options: argparse.Namespace) -> int:
    from breastpredict.her2 import Her2TrainConfig
    from breastpredict.her2.crops import write_crops
    from breastpredict.study import read_cohort

    config = Her2TrainConfig(
        preset=options.network, seed=options.seed, roi=options.roi, margin=options.margin
    )
    failures = write_crops(read_cohort(options.cohort), options.out, config, Stages(options.quiet))
    print(options.out)
    return 1 if failures else 0


def _recalibrate(options: argparse.Namespace) -> int:
    from breastpredict.her2 import recalibrate_her2
    from breastpredict.her2.cases import TITLES
    from breastpredict.study import read_cohort

    done = recalibrate_her2(read_cohort(options.cohort), **recalibration_of(options))
    return tell_recalibration(done, TITLES, options)


def _evaluate(options: argparse.Namespace) -> int:
    from breastpredict.study.evaluation import evaluate_her2_cohort

    page = evaluate_her2_cohort(**evaluation_of(options), clinical=options.clinical)
    print(page.resolve())
    return 0


def _points(text: str | None, option: str, count: int, coordinates: str) -> list[Point] | None:
    """Points in LPS mm from the text of an option."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        if len(numbers) != 3 * count or not all(abs(x) < 1e5 for x in numbers):
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"{option} takes {3 * count} numbers in mm separated by commas, not {text!r}"
        ) from error
    sign = -1.0 if coordinates == "RAS" else 1.0
    return [
        (sign * numbers[i], sign * numbers[i + 1], numbers[i + 2]) for i in range(0, 3 * count, 3)
    ]
