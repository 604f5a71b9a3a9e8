"""What the requirement files of the module must hold, from pyproject and what is installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

FROM_PYTORCH_EXTENSION = {"torch", "torchvision"}
ONLY_FOR_TRAINING = {"fire", "monai", "pytorch-ignite"}
"""Of the extra ``models``; the rest of it predicting needs too."""

PLATFORMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
]
SLICER_PYTHON = {"python_version": "3.12", "python_full_version": "3.12.10"}


def normal(name: str) -> str:
    """As a package index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(path: Path) -> dict[str, Requirement]:
    """Name → requirement of a requirements file."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {normal(each.name): each for each in found}


def bundled(repository: Path) -> set[str]:
    """What Slicer brings."""
    return set(requirements(repository / "constraints-slicer-5.12.txt"))


def wanted(repository: Path) -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    """What predicting and what training need in Slicer, as pyproject bounds it."""
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["models"]]
    every = {normal(each.name): each for each in map(Requirement, lines)}
    missing = {
        name: each
        for name, each in every.items()
        if name not in bundled(repository) | FROM_PYTORCH_EXTENSION
    }
    training = {name: each for name, each in missing.items() if name in ONLY_FOR_TRAINING}
    return {n: each for n, each in missing.items() if n not in ONLY_FOR_TRAINING}, training


def closure(repository: Path, names: set[str]) -> set[str]:
    """These packages and all that they need, on any platform Slicer runs on, in its Python."""
    outside = bundled(repository) | FROM_PYTORCH_EXTENSION
    found: set[str] = set()
    open_names = set(names)
    while open_names:
        name = open_names.pop()
        found.add(name)
        try:
            lines = requires(name) or []
        except ImportError:  # not installed here: of another platform, and must need nothing
            continue
        for each in map(Requirement, lines):
            environments = [{**SLICER_PYTHON, **platform, "extra": ""} for platform in PLATFORMS]
            if each.marker is None or any(map(each.marker.evaluate, environments)):
                open_names |= {normal(each.name)} - outside - found
    return found
