"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; where it is absent the test says so, and in CI it fails."""
    folder = Path(os.environ.get("BREASTPREDICT_SHARED", REPOSITORY.parent / "shared"))
    if (folder / "data" / "MANIFEST.md").is_file():
        return folder
    message = f"needs the reference data folder {folder} (set BREASTPREDICT_SHARED to where it is)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
