"""The requirement files of the Slicer modules hold what Slicer lacks, and nothing it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from slicer_requirements import bundled, closure, requirements, wanted

RESOURCES = "Resources"
FOLDERS = ("HER2Predict", "BreastPredictLib")


def test_predicting_asks_for_what_slicer_lacks_with_the_bounds_of_pyproject(
    repository: Path,
) -> None:
    predicting, _ = wanted(repository)
    found = requirements(repository / RESOURCES / "requirements.txt")
    assert {n: str(r.specifier) for n, r in found.items()} == {
        n: str(r.specifier) for n, r in predicting.items()
    }


def test_training_asks_for_what_predicting_does_not_need(repository: Path) -> None:
    _, training = wanted(repository)
    found = requirements(repository / RESOURCES / "requirements-training.txt")
    assert {n: str(r.specifier) for n, r in found.items()} == {
        n: str(r.specifier) for n, r in training.items()
    }


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-training.txt"])
def test_requirements_are_lower_bounds(repository: Path, name: str) -> None:
    for each in requirements(repository / RESOURCES / name).values():
        assert [part.operator for part in each.specifier] == [">="], each


def test_the_wheelhouse_is_all_that_the_requirements_need_and_slicer_lacks(
    repository: Path,
) -> None:
    asked = [
        requirements(repository / RESOURCES / name)
        for name in ("requirements.txt", "requirements-training.txt")
    ]
    listed = requirements(repository / RESOURCES / "wheelhouse.txt")
    assert set(listed) == closure(repository, {name for file in asked for name in file})


def test_the_wheelhouse_holds_the_tested_versions(repository: Path) -> None:
    tested = requirements(repository / "constraints.txt")
    for name, each in requirements(repository / RESOURCES / "wheelhouse.txt").items():
        if name in tested:
            assert each.specifier == tested[name].specifier, each


def test_nothing_expects_the_backend_or_what_slicer_brings_on_a_package_index(
    repository: Path,
) -> None:
    never = bundled(repository) | {"breastpredict", "torch", "torchvision"}
    files = [*(repository / RESOURCES).glob("*.txt")]
    assert len(files) == 3
    for path in files:
        assert not never & set(requirements(path)), path
    sources = [p for folder in FOLDERS for p in (repository / folder).rglob("*.py")]
    assert len(sources) > 20
    for path in sources:
        calls = re.findall(r"pip_(?:install|ensure)\([^)]*\)", path.read_text("utf-8"))
        assert not any(name in call for call in calls for name in never), path
