"""What two results folders must share, byte for byte: all but dates, times and new UIDs."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_OWN = (".lock", ".ledger.sqlite")


def outputs_of(out: Path) -> dict[str, str]:
    """Every file below a results folder → SHA-256 of what does not change from run to run.

    DICOM objects without UIDs of their own, dates and times; JSON and pages without the date.
    """
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(_lasting(path)).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in _OWN
    }


def _lasting(path: Path) -> bytes:
    if path.suffix == ".dcm":
        return json.dumps(_plain(pydicom.dcmread(path)), sort_keys=True).encode()
    content = path.read_bytes()
    if path.suffix in (".json", ".html"):
        return _TIME.sub("", content.decode()).encode()
    return content


def _plain(dataset: Dataset) -> dict[str, object]:
    """Tag → value; UIDs that are made anew say only that they are there."""
    out: dict[str, object] = {}
    for element in dataset:
        value = element.value
        if element.VR == "SQ":
            out[str(element.tag)] = [_plain(item) for item in value]
        elif element.VR in ("UI", "DA", "TM", "DT"):
            lasting = element.keyword in ("SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID")
            out[str(element.tag)] = str(value) if lasting else ""
        elif isinstance(value, bytes):
            out[str(element.tag)] = hashlib.sha256(value).hexdigest()
        else:
            out[str(element.tag)] = str(value)
    return out
