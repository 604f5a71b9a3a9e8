"""Splits by patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from breastpredict.errors import InputError
from breastpredict.learning.examples import CaseSet

_TRAIN: tuple[CaseSet, ...] = ("train",) * 8
_TEN: tuple[CaseSet, ...] = ("validation", "tuning", *_TRAIN)


def stratified_split(strata: Mapping[str, str], fraction: float, *, seed: int) -> set[str]:
    """Patients set apart: ``fraction`` of each stratum, drawn at random.

    Args:
        strata: stratum (class) of every patient. Their order does not matter: the draw depends on
            the names, the strata and the seed only.
        fraction: part to set apart, above 0 and below 1.
        seed: seed of the draw.

    Returns:
        The patients set apart: ``fraction`` of each stratum, rounded, yet at least one patient set
        apart and one left in every stratum.

    Raises:
        InputError: a stratum has fewer than two patients; the fraction is out of range.
    """
    if not 0 < fraction < 1:
        raise InputError(f"The fraction to set apart is {fraction}; it must be between 0 and 1")
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(strata):
        members[strata[patient]].append(patient)
    rng = np.random.default_rng(seed)
    apart: set[str] = set()
    for stratum in sorted(members):
        patients = members[stratum]
        if len(patients) < 2:
            raise InputError(
                f"Class {stratum!r} has a single patient, who cannot be on both sides of a split",
                remedy="Add patients of this class",
            )
        count = min(max(1, round(fraction * len(patients))), len(patients) - 1)
        apart.update(patients[i] for i in rng.permutation(len(patients))[:count])
    return apart


def stratified_folds(strata: Mapping[str, str], folds: int, *, seed: int) -> dict[str, int]:
    """Fold of every patient, from 1: each holds as many of every stratum, give or take one.

    Args:
        strata: stratum (class) of every patient; as in `stratified_split` their order is of no
            effect.
        folds: number of folds, at least 2.
        seed: seed of the draw.

    Raises:
        InputError: fewer than two folds, or a stratum with fewer patients than folds.
    """
    if folds < 2:
        raise InputError(f"{folds} fold(s) leave nobody to train on; give at least 2")
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(strata):
        members[strata[patient]].append(patient)
    rng = np.random.default_rng(seed)
    found: dict[str, int] = {}
    start = 0  # where the last stratum ended: else the first folds would be the largest
    for stratum in sorted(members):
        patients = members[stratum]
        if len(patients) < folds:
            raise InputError(
                f"Class {stratum!r} has {len(patients)} patients, fewer than {folds} folds",
                remedy="Use fewer folds",
            )
        for place, index in enumerate(rng.permutation(len(patients)), start=start):
            found[patients[index]] = place % folds + 1
        start = (start + len(patients)) % folds
    return found


def three_way_split(
    labels: Mapping[str, int], strata: Mapping[str, str] | None = None, *, seed: int
) -> dict[str, CaseSet]:
    """8:1:1 by patient: fitting, choice of epoch and threshold, and held out.

    Patients of a cohort that is held apart as a whole (multifocal cancers) are not given.

    Args:
        labels: label of every patient; each label is split for itself. The order of patients is of
            no effect.
        strata: stratum of every patient, such as the subtype, kept in proportion as well, give or
            take one patient, within each label.
        seed: seed of the draw.

    Returns:
        Patient → set. Of n patients of a label one tenth, rounded up, is ``validation``, one tenth
        ``tuning`` (as far as the ten are begun), the others ``train``: at least one each.

    Raises:
        InputError: a label with fewer than three patients, or not both labels.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, CaseSet] = {}
    members: dict[int, dict[str, list[str]]] = {0: defaultdict(list), 1: defaultdict(list)}
    for patient in sorted(labels):
        members[labels[patient]][(strata or {}).get(patient, "")].append(patient)
    for label, groups in members.items():
        count = sum(map(len, groups.values()))
        if count < 3:
            raise InputError(
                f"Label {label} has {count} patient(s), too few for three sets",
                remedy="Add patients of this label",
            )
        # Dealt like cards, on from one stratum to the next: so every stratum has its tenth, give or
        # take one, and the label has its own exactly.
        dealt = [
            groups[name][i] for name in sorted(groups) for i in rng.permutation(len(groups[name]))
        ]
        for place, patient in enumerate(dealt):
            found[patient] = _TEN[place % len(_TEN)]
    return found


def check_disjoint(sides: Mapping[str, Iterable[str]]) -> None:
    """Refuse a split in which a patient is on more than one side, or twice on one.

    Args:
        sides: name of each side and its patients, one entry per example.

    Raises:
        InputError: naming the sides and the number of patients, not the patients.
    """
    seen: dict[str, str] = {}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for side, patients in sides.items():
        for patient in patients:
            if patient in seen:
                shared[(seen[patient], side)] += 1
            else:
                seen[patient] = side
    for (first, second), count in shared.items():
        where = f"twice in {first}" if first == second else f"in both {first} and {second}"
        raise InputError(
            f"{count} patient(s) are {where}: their scores would not be those of unseen patients",
            remedy="Give every patient one row and one side of the split",
        )


def strata_of(keys: Sequence[str], labels: Sequence[int], strata: Sequence[str]) -> dict[str, str]:
    """Stratum of every patient: the given one, or the label where it is empty."""
    return {k: s or str(v) for k, v, s in zip(keys, labels, strata, strict=True)}
