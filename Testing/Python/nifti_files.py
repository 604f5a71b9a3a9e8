"""NIfTI-1 files by hand: any transform codes, quaternions and matrices that programs write."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64}
_MILLIMETRES, _METRES = 2, 1


def write_nifti(
    path: Path,
    array: NDArray[Any],
    *,
    sform: NDArray[Any] | None = None,
    quaternion: Sequence[float] | None = None,
    offset: Sequence[float] = (0, 0, 0),
    pixdim: Sequence[float] = (1, 1, 1),
    qfac: float = 1.0,
    metres: bool = False,
) -> Path:
    """``array`` [x, y, z] (or [x, y, z, t]), as a file has it.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        array: voxels; its first axis runs fastest in the file.
        sform: 4 × 4, voxel to RAS; None writes code 0.
        quaternion: b, c, d of the qform; None writes code 0.
        offset: of the qform.
        pixdim: voxel size.
        qfac: -1 turns the third axis of the qform around.
        metres: lengths are in metres.
    """
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    shape = [array.ndim, *array.shape, *[1] * (7 - array.ndim)]
    struct.pack_into("<8h", header, 40, *shape)
    struct.pack_into("<hh", header, 70, _TYPES[array.dtype.name], array.dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, qfac, *pixdim, 1, 1, 1, 1)
    struct.pack_into("<ff", header, 108, 352, 1)
    header[123] = _METRES if metres else _MILLIMETRES
    codes = (int(quaternion is not None), int(sform is not None))
    struct.pack_into("<hh", header, 252, *codes)
    struct.pack_into("<6f", header, 256, *(quaternion or (0, 0, 0)), *offset)
    if sform is not None:
        struct.pack_into("<12f", header, 280, *np.asarray(sform, float)[:3].ravel())
    header[344:348] = b"n+1\0"
    data = bytes(header) + array.astype(array.dtype.newbyteorder("<")).tobytes(order="F")
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    return path
