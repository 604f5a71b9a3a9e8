"""What must hold of the repository itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement


def pins(path: Path) -> dict[str, str]:
    """Package name (normalised) → version of a constraints file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): v for name, v in (x.split("==") for x in lines)}


def test_the_tested_versions_are_those_slicer_bundles(repository: Path) -> None:
    tested, slicer = (
        pins(repository / name) for name in ("constraints.txt", "constraints-slicer-5.12.txt")
    )
    assert {name: tested[name] for name in slicer} == slicer


def test_every_dependency_accepts_its_tested_version(repository: Path) -> None:
    tested = pins(repository / "constraints.txt")
    for line in requires("breastpredict") or []:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(tested[name]), line


def test_run_time_dependencies_are_permissively_licensed(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["models"]]
    for name in (Requirement(line).name for line in wanted):
        metadata = distribution(name).metadata
        text = " ".join(
            [
                metadata.get("License-Expression") or "",
                (metadata.get("License") or "")[:200],
                *(c for c in metadata.get_all("Classifier") or [] if c.startswith("License")),
            ]
        )
        assert re.search(r"MIT|BSD|Apache|MPL|HPND|Python Software", text), f"{name}: {text}"
        assert not re.search(r"\b[AL]?GPL|General Public", text), f"{name}: {text}"


@pytest.mark.parametrize(
    "room",
    ["breastpredict.cli", "breastpredict.dicom", "breastpredict.her2", "breastpredict.study"],
)
def test_importing_a_room_does_not_import_torch(room: str) -> None:
    check = f"import sys, {room}; print(sorted({{'torch', 'timm', 'monai'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
