"""Network inputs of the training cases, kept in the run folder so that DICOM is read once.

A crop is found again by what it was made from: names, sizes and modification times of the study's
files and of the mask, the input size, the region and the version of the preparation. A changed
file is read again; file names in the run folder tell nothing about the patient.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom import source_files
from breastpredict.errors import InputError
from breastpredict.files import write_atomic
from breastpredict.her2.cases import Her2Case
from breastpredict.her2.roi_policy import RoiPolicy

_PREPARATION = 2  # raise when prepare_case gives other pixels for the same files


@dataclass(frozen=True)
class Crop:
    """What training needs of a prepared case: image [1, S, S] and the features for the gates."""

    image: NDArray[np.float32]
    features: dict[str, float | str]


def crop_of(case: Her2Case, folder: Path, image_size: int, policy: RoiPolicy | None = None) -> Crop:
    """The crop of a case, from the cache in ``folder`` or from its DICOM files.

    Args:
        case: the case.
        folder: the cache.
        image_size: side of the network's input.
        policy: what of the slice it shows.

    Raises:
        BreastPredictError: the case cannot be prepared; the message says why.
    """
    policy = policy or RoiPolicy()
    path = folder / f"{_key(case, image_size, policy)}.npz"
    cached = _read(path)
    if cached is not None:
        return cached
    from breastpredict.her2.inputs import prepare_case

    prepared = prepare_case(
        case.study,
        image_size=image_size,
        segmentation=case.segmentation,
        roi=policy.roi,
        margin=policy.margin,
        **case.reading,
    )
    crop = Crop(np.asarray(prepared.image, dtype=np.float32), dict(prepared.features))
    with write_atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, image=crop.image, features=np.array(json.dumps(crop.features)))
    return crop


def _read(path: Path) -> Crop | None:
    """A cached crop; None where there is none or it is damaged (it is then made again)."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return Crop(content["image"], json.loads(str(content["features"])))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _key(case: Her2Case, image_size: int, policy: RoiPolicy) -> str:
    reading = json.dumps([dict(case.reading), policy.to_json()], sort_keys=True)
    digest = hashlib.sha256(f"{_PREPARATION} {image_size} {reading}".encode())
    files = list(source_files(case.study))
    if case.segmentation is not None:
        if not case.segmentation.is_file():
            raise InputError("The segmentation does not exist", path=case.segmentation)
        files.append(case.segmentation)
    for file in files:
        try:
            status = file.stat()
        except OSError:  # a table may name a file that is not there: said where it is read
            digest.update(f"{file} is not there\n".encode())
            continue
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
