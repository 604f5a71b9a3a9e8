"""Network inputs of the training patients, kept in the run folder so that files are read once.

Inputs are found again by what they were made from: names, sizes and modification times of the
files, the regions, the input's size and the version of the preparation. A changed file is read
again; names in the run folder tell nothing about the patient.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from breastpredict.files import write_atomic, write_text
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.gates import GATES
from breastpredict.pcr.given_roi import MaskRoi
from breastpredict.pcr.inputs import prepare_pcr
from breastpredict.pcr.policy import PcrPolicy

_PREPARATION = 1  # raise when prepare_pcr gives other pixels for the same files


@dataclass(frozen=True)
class KeptInputs:
    """What training needs of a prepared patient.

    Attributes:
        files: input → ``.npy``.
        features: for the gates.
    """

    files: Mapping[str, Path]
    features: Mapping[str, float | str]


def kept_inputs(
    case: PcrCase, folder: Path, needs: Sequence[str], image_size: int, policy: PcrPolicy
) -> KeptInputs:
    """The images of a patient, from the cache in ``folder`` or from their files.

    Args:
        case: the patient.
        folder: the cache.
        needs: images of one variant: ultrasound and pathology are kept apart, so that variants
            share what is the same for them.
        image_size: side of an input.
        policy: which regions.

    Raises:
        BreastPredictError: the images cannot be used, or a gate refuses them whatever the training
            looks like (no H&E, colour Doppler); the message says why.
    """
    ultrasound = [name for name in needs if name.startswith("us")]
    groups = [group for group in (ultrasound, [n for n in needs if n == "pathology"]) if group]
    files: dict[str, Path] = {}
    features: dict[str, float | str] = {}
    for group in groups:
        stem = folder / _key(case, group, image_size, policy)
        found = _read(stem, group)
        if found is None:
            prepared = prepare_pcr(case, needs=group, image_size=image_size, policy=policy)
            GATES.check(prepared.problems, {})
            for name in group:
                path = stem.with_name(f"{stem.name}-{name}.npy")
                with write_atomic(path) as temporary, open(temporary, "wb") as file:
                    np.save(file, prepared.inputs[name])
            # Last: a run that is killed before this makes them again.
            write_text(stem.with_suffix(".json"), json.dumps(dict(prepared.features)))
            found = _read(stem, group)
            assert found is not None
        files.update(found.files)
        features.update(found.features)
    return KeptInputs(files, features)


def _read(stem: Path, group: Sequence[str]) -> KeptInputs | None:
    """None where there is none, or it is damaged (it is then made again)."""
    files = {name: stem.with_name(f"{stem.name}-{name}.npy") for name in group}
    try:
        features = json.loads(stem.with_suffix(".json").read_text("utf-8"))
        for path in files.values():
            np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return KeptInputs(files, features)


def _key(case: PcrCase, group: Sequence[str], image_size: int, policy: PcrPolicy) -> str:
    told: list[object] = [_PREPARATION, list(group), image_size, policy.to_json()]
    paths: list[Path] = []
    # The position of a tumour that is gone comes from US-0, also where only US-1 is wanted.
    for one in (case.us0, case.us1) if group != ["pathology"] else ():
        if one is None:
            continue
        told += [str(one.roi), one.frame, one.region, one.date]
        paths.append(one.path)
        if isinstance(one.roi, MaskRoi):
            paths += one.roi.paths
    if group == ["pathology"] and case.pathology is not None:
        told += [case.pathology_region, case.pathology_mpp]
        slide = case.pathology
        paths += sorted(slide.rglob("*")) if slide.is_dir() else [slide]
    told.append(case.laterality)
    digest = hashlib.sha256(json.dumps(told).encode())
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # said where it is read
            digest.update(f"{path} is not there\n".encode())
            continue
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
