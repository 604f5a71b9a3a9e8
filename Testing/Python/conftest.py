"""Fixtures every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.fixtures import running_slicer, slicer_app  # noqa: F401
from her2_panel import her2, lasting_worker, lent_worker, small_case  # noqa: F401
from loaded_volumes import same_dicom  # noqa: F401
from pcr_panel import pcr, phantom_list  # noqa: F401
from pcr_predictions import pcr_done  # noqa: F401
from pcr_runs import pcr_model, pcr_trained  # noqa: F401
from reader_studies import reader_cohort  # noqa: F401
from torch_threads import on_one_thread

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


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    """The DICOM validator; where it is absent the test says so, and in CI it fails."""
    return program("needs dciodvfy (Debian: apt-get install dicom3tools)", "dciodvfy")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser; where it is absent the test says so, and in CI it fails."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return program("needs Chromium (Debian: apt-get install chromium)", *names)


def program(message: str, *names: str) -> str:
    """The first of some programs; where there is none the message says so, and in CI it fails."""
    for found in map(shutil.which, names):
        if found is not None:
            return found
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A whole file with torch on one thread."""
    with on_one_thread():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two reduced networks with seeded random weights, marked synthetic."""
    from breastpredict.phantom import write_random_run

    return write_random_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def learnt_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COHORT.csv of phantoms, enough to learn from."""
    from breastpredict.phantom import make_her2_phantom

    sizes = {"SITE-A": 150, "SITE-B": 40, "SITE-C": 40}
    return make_her2_phantom(tmp_path_factory.mktemp("cohort"), sizes, seed=707, workers=2)


@pytest.fixture(scope="session")
def learnt_run(learnt_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt what the phantoms hold; takes a minute, once."""
    from breastpredict.her2 import Her2TrainConfig, train_her2
    from breastpredict.study import read_cohort

    run = tmp_path_factory.mktemp("learns") / "run"
    config = Her2TrainConfig(preset="reduced", weights="none", epochs=60, device="cpu", seed=7)
    with on_one_thread():
        train_her2(read_cohort(learnt_cohort), run, config)
    return run
