"""Writes what a proof measured to Testing/evidence, with date, versions and machine."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from breastpredict import __version__
from breastpredict.files import write_text

FOLDER = Path(__file__).resolve().parents[1] / "evidence"
STARTED = time.perf_counter()


def record(name: str, claims: Mapping[str, bool], results: Mapping[str, Any]) -> None:
    """Write ``Testing/evidence/<name>.json`` and print it; a claim that fails ends with exit 1."""
    packages = ("numpy", "SimpleITK", "pydicom", "highdicom", "torch", "timm", "monai")
    record = {
        "name": name,
        "date": date.today().isoformat(),
        "claims": dict(claims),
        "results": results,
        "seconds": round(time.perf_counter() - STARTED),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "breastpredict": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "note": "Synthetic phantoms. Research use only.",
    }
    text = json.dumps(record, indent=2)
    write_text(FOLDER / f"{name}.json", text + "\n")
    print(text)
    if not all(claims.values()):
        raise SystemExit(f"{name}: not every claim held")
