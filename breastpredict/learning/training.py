"""Training one binary task on MONAI's engines.

What is chosen where: weights are fitted on ``train``. The epoch (largest area under the ROC curve,
smoothed over a few epochs; ties by smaller loss) and the threshold (Youden) are chosen on
``tuning``. Both are inside the 80 %; ``validation``, the 20 %, is scored once at the end and only
reported. The tuning scores are therefore slightly optimistic, the validation scores are not, nor
are those of a cohort held ``apart`` as a whole. The settings may choose epoch and threshold by
other rules (``breastpredict.learning.recipes``).
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.utils.misc import set_determinism
from scipy.special import expit

from breastpredict import __version__
from breastpredict.errors import InputError
from breastpredict.files import write_text
from breastpredict.learning import network_parts
from breastpredict.learning.calibration import Calibration
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.curve import best_record, learning_curve_csv, learning_curve_svg
from breastpredict.learning.examples import (
    IMAGE,
    ULTRASOUND,
    BinaryTask,
    CaseScore,
    CaseSet,
    EpochRecord,
    LearningCase,
    ScoredSet,
    network_array,
)
from breastpredict.learning.fitting import OnEpoch, calibration_for, fit, probabilities
from breastpredict.learning.networks import starting_network
from breastpredict.learning.recipes import hazards
from breastpredict.learning.split import check_disjoint, strata_of, stratified_split
from breastpredict.models import save_bundle
from breastpredict.models.network import check_network, input_shapes
from breastpredict.stats import Estimate, binary_metrics, roc_auc, youden_threshold

TUNING_FRACTION = 0.2
"""Share of the 80 % on which the epoch and the threshold are chosen."""

_THRESHOLD_RULES = {
    "youden": "Youden on the tuning cases; positive means score >= threshold",
    "half": "the network's own one half; positive means score >= threshold",
}
_FITTED: tuple[CaseSet, CaseSet] = ("train", "tuning")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BinaryRun:
    """A trained task.

    Attributes:
        task: its name and classes.
        bundle: folder of the saved model.
        threshold: on the probability; positive means at least this.
        calibration: how the probability was made.
        scores: of every case, by the saved model.
        auc: area under the ROC curve of each set that has both classes.
        history: one record per epoch.
        hazards: what may be wrong with a model trained so; see `recipes.hazards`.
    """

    task: BinaryTask
    bundle: Path
    threshold: float
    calibration: Calibration
    scores: tuple[CaseScore, ...]
    auc: Mapping[ScoredSet, Estimate]
    history: tuple[EpochRecord, ...]
    hazards: tuple[str, ...] = ()


def train_binary(
    examples: Sequence[LearningCase],
    holdout: Sequence[LearningCase],
    task: BinaryTask,
    run_dir: Path,
    *,
    apart: Sequence[LearningCase] = (),
    network: Mapping[str, Any],
    weights: str | Path = "imagenet",
    config: TrainConfig | None = None,
    tuning: Collection[str] | None = None,
    synthetic: bool,
    training_data: Mapping[str, Any],
    about: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    figure: bool = True,
) -> BinaryRun:
    """Train, choose epoch and threshold, calibrate, score every case, save the bundle.

    Args:
        examples: the 80 %.
        holdout: the 20 %, scored at the end and used for nothing else; may be empty.
        task: name and classes.
        run_dir: the bundle goes to ``run_dir/<task>``, the state after each epoch to
            ``run_dir/training/<task>/checkpoint.pt``.
        apart: a cohort of another kind (multifocal cancers), treated like the 20 % and reported for
            itself.
        network: what ``build_network`` builds. Of an example with several inputs those that it
            names are read.
        weights: what ``initialise`` starts from: ``"imagenet"``, ``"none"`` or a file.
        config: settings. What is hazardous in them is logged as warnings before the first epoch,
            and stands in the bundle.
        tuning: keys of the examples set apart inside the 80 %; by default a stratified
            ``TUNING_FRACTION`` of them.
        synthetic: the examples are phantoms; the bundle says so wherever it is used.
        training_data: see ``training_ranges``; the gates compare new cases with it.
        about: more for the bundle's metadata, such as what the images show and where from.
        resume: go on from the checkpoint where there is one; at most one epoch is repeated. On one
            machine the result is bitwise that of an uninterrupted run.
        on_epoch: called after each epoch, once its checkpoint is on disk.
        figure: draw the learning curve, where matplotlib is installed.

    Raises:
        InputError: a class is missing from a set, a patient is on two sides, the inputs are not
            what the network takes, the checkpoint is of another configuration, the device is
            absent.
    """
    config = config or TrainConfig()
    network = check_network(network)
    sets = _sets(examples, holdout, apart, tuning, config.seed)
    _check_inputs(sets, network)
    warned = hazards(
        config,
        tuning_cases=len(sets["tuning"]),
        ultrasound=any(name in input_shapes(network) for name in ULTRASOUND),
    )
    for line in warned:
        _log.warning("%s", line)
    device = device_of(config.device)
    before = get_track_meta()
    set_determinism(seed=config.seed)
    set_track_meta(False)  # plain tensors: the images carry no geometry here
    try:
        return _train(
            sets,
            task,
            run_dir,
            network,
            weights,
            config,
            {
                "synthetic": synthetic,
                "training_data": dict(training_data),
                **({"hazards": warned} if warned else {}),
                **(about or {}),
            },
            resume,
            on_epoch,
            device,
            figure,
        )
    finally:
        set_track_meta(before)
        set_determinism(seed=None)


def _train(
    sets: Mapping[ScoredSet, Sequence[LearningCase]],
    task: BinaryTask,
    run_dir: Path,
    network: Mapping[str, Any],
    weights: str | Path,
    config: TrainConfig,
    metadata: Mapping[str, Any],
    resume: bool,
    on_epoch: OnEpoch | None,
    device: torch.device,
    figure: bool,
) -> BinaryRun:
    model, initialisation = starting_network(network, weights, config)
    state = fit(
        model,
        sets["train"],
        sets["tuning"],
        config,
        run_dir / "training" / task.name / "checkpoint.pt",
        settings={"task": task.name, "network": dict(network), "weights": str(weights)},
        resume=resume,
        on_epoch=on_epoch,
        device=device,
    )
    model.load_state_dict(state.best)
    calibration = calibration_for(sets["train"], config)
    network_parts.shift_logit(model, calibration.logit_shift)
    scores = tuple(
        CaseScore(example.key, name, example.label, float(score))
        for name, members in sets.items()
        # One case at a time, as predicting does: batches differ in the last bits.
        for example, score in zip(members, probabilities(model, members, device), strict=True)
    )
    chosen_on = [s for s in scores if s.set == "tuning"]
    threshold = _threshold(chosen_on, calibration, config)
    auc = _areas(scores)
    bundle = run_dir / task.name
    documents = {"learning_curve.csv": learning_curve_csv(state.history)}
    drawn = learning_curve_svg(state.history) if figure else None
    if drawn is not None:
        documents["learning_curve.svg"] = drawn
    for name, text in documents.items():
        write_text(run_dir / "training" / task.name / name, text)
    save_bundle(
        bundle,
        model.cpu(),
        network=dict(network),
        metadata={
            "task": task.name,
            "positive_class": task.positive,
            "negative_class": task.negative,
            "network": dict(network),
            "threshold": threshold,
            "threshold_rule": _THRESHOLD_RULES[config.threshold_rule],
            "prevalence": calibration.prevalence,
            "calibration": calibration.to_json(),
            "counts": {name: _counts(members) for name, members in sets.items()},
            "auc": {name: area._asdict() for name, area in auc.items()},
            "metrics": {
                name: _metrics([s for s in scores if s.set == name], threshold) for name in auc
            },
            "seed": config.seed,
            "config": config.to_json(),
            "epochs_trained": state.epoch,
            "best_epoch": best_record(state.history).epoch,
            "initialisation": _plain(initialisation),
            "device": device.type,
            "mixed_precision": config.mixed_precision and device.type == "cuda",
            "threads": torch.get_num_threads(),
            "versions": versions(),
            **metadata,
        },
        documents=documents,
    )
    return BinaryRun(
        task,
        bundle,
        threshold,
        calibration,
        scores,
        auc,
        tuple(state.history),
        tuple(metadata.get("hazards", ())),
    )


def _threshold(tuning: Sequence[CaseScore], calibration: Calibration, config: TrainConfig) -> float:
    if config.threshold_rule == "half":
        return float(expit(calibration.logit_shift))
    return youden_threshold([s.label for s in tuning], [s.score for s in tuning])


def versions() -> dict[str, str]:
    """Versions that the trained weights may depend on."""
    names = ("torch", "monai", "timm", "numpy")
    return {
        "breastpredict": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _sets(
    examples: Sequence[LearningCase],
    holdout: Sequence[LearningCase],
    apart: Sequence[LearningCase],
    tuning: Collection[str] | None,
    seed: int,
) -> dict[ScoredSet, list[LearningCase]]:
    keys = [example.key for example in examples]
    sides = {
        "training": keys,
        "validation": [e.key for e in holdout],
        "apart": [e.key for e in apart],
    }
    check_disjoint(sides)
    if tuning is None:
        strata = strata_of(keys, [e.label for e in examples], [e.stratum for e in examples])
        tuning = stratified_split(strata, TUNING_FRACTION, seed=seed)
    sets: dict[ScoredSet, list[LearningCase]] = {
        "train": [example for example in examples if example.key not in tuning],
        "tuning": [example for example in examples if example.key in tuning],
        "validation": list(holdout),
    }
    if apart:
        sets["apart"] = list(apart)
    for name in _FITTED:
        labels = {example.label for example in sets[name]}
        if labels != {0, 1}:
            raise InputError(
                f"The {name} set needs cases of both classes (labels 0 and 1); it has "
                f"{sorted(labels) or 'none'}",
                remedy="Add cases of the missing class",
            )
    return sets


def _check_inputs(
    sets: Mapping[ScoredSet, Sequence[LearningCase]], network: Mapping[str, Any]
) -> None:
    expected = input_shapes(network)
    for members in sets.values():
        for example in members:
            for name, kept in example.inputs(expected).items():
                array = network_array(name, kept)
                if array.shape != expected[name] or not np.isfinite(array).all():
                    what = "An image" if name == IMAGE else f"An input {name}"
                    raise InputError(
                        f"{what} of shape {array.shape} does not fit the network, which takes "
                        f"finite values of shape {expected[name]}"
                    )


def device_of(name: str) -> torch.device:
    """The device of that name, or an InputError where it is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {name!r}", remedy="Use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("This machine offers no CUDA device", remedy="Use --device cpu")
    return device


def _areas(scores: Sequence[CaseScore]) -> dict[ScoredSet, Estimate]:
    areas: dict[ScoredSet, Estimate] = {}
    for name in get_args(ScoredSet):
        members = [s for s in scores if s.set == name]
        if {s.label for s in members} == {0, 1}:
            areas[name] = roc_auc([s.label for s in members], [s.score for s in members])
    return areas


def _metrics(members: Sequence[CaseScore], threshold: float) -> dict[str, Any]:
    """What the model card says of a set: n, AUC, sensitivity and specificity with intervals."""
    labels = np.array([s.label for s in members])
    scores = np.array([s.score for s in members])
    cut = binary_metrics(labels, scores, threshold)
    return {
        "n": len(members),
        "auc": roc_auc(labels, scores)._asdict(),
        "sensitivity": cut.sensitivity._asdict(),
        "specificity": cut.specificity._asdict(),
        "brier": float(np.mean((scores - labels) ** 2)),
        "threshold": threshold,
    }


def _counts(members: Sequence[LearningCase]) -> dict[str, int]:
    positives = sum(example.label for example in members)
    return {"positive": positives, "negative": len(members) - positives}


def _plain(record: Any) -> Any:
    """A dataclass of plain values as a dictionary."""
    if hasattr(record, "__dataclass_fields__"):
        return {
            k: str(v) if isinstance(v, Path) else v
            for k, v in ((f, getattr(record, f)) for f in record.__dataclass_fields__)
        }
    return record
